"""Kernels that split text into words as spaCy's English tokenizer does, and the tables that they look up."""
