"""Language identification: a label and a score for every document, and how much of it is in another language."""
