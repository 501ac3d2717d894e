"""What a model can learn from the samples of a corpus, or from examples of a file."""
