"""Kernels of language identification: samples and lines of a text, and the classifier over its bytes."""
