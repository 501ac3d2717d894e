"""Kernels of the quality rules: counts of repetition, lines, phrases and words, and C4's line rules with their edits."""
