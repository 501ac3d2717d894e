"""Kernels over UTF-8 text: characters, white space, lines, normalisation, and n-grams with their similarities."""
