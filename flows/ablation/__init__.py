"""Ablations: which corpus or filter setting makes the better model, by bits per byte on held-out text."""
