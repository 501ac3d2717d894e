"""Kernels of byte-pair encoding: pre-tokens and their counts, the merge loop with its queue of pairs, loops over token ids."""
