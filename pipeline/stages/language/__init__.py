"""Language identification: a label and a score for every document, and the share of it that is in another language."""
