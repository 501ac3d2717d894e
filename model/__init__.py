"""The trainer: a GPT-2 model, batches from the token store, the training loop, checkpoints, validation and sampling."""
