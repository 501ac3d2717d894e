"""The trainer: a decoder, batches from the token store, the training loop, checkpoints, validation and sampling."""
