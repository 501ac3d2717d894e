"""Quality rules: statistics of a text, recipes of thresholds, and the first rule that a document fails."""
