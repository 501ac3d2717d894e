"""The search for places in a text where personal data may stand."""
