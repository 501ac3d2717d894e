"""Kernels that scan pages of HTML, and write their text."""
