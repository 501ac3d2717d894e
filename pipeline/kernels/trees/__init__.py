"""Boosted decision trees: `grow` makes one from binned features, `score` applies all of them."""
