"""From raw text to packed tokens: rooms that are imported one way, from `base` up to `ask`. CONTRIBUTING.md has the plan."""
