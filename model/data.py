"""Batches from the token store.

Purpose: sample k of a run is a window of `context_tokens` + 1 ids: with w windows in the split, it belongs to epoch k // w
and stands at place k % w of that epoch's keyed permutation.
Guarantee: which ids sample k holds is a pure function of (store, seed, k). So the state of a reader is three values, and
no sample is seen twice in an epoch, whatever the size of a batch and however often the run was interrupted.
Cost: a few microseconds per window, read from the memory map when it is asked for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from pipeline.errors import InputError
from pipeline.tokens import Split, permute


def order(first: int, count: int, *, windows: int, seed: int) -> npt.NDArray[np.int64]:
    """The window of each of the samples `first` to `first + count`. int64 [count], each below `windows`."""
    samples = np.arange(first, first + count, dtype=np.int64)
    epochs = samples // windows
    places = np.empty(count, dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        places[here] = permute(samples[here] % windows, windows, seed=seed, epoch=int(epoch))
    return places


def batch(split: Split, places: npt.NDArray[np.int64], length: int) -> torch.Tensor:
    """The windows at `places`: int64 [len(places), length + 1]; row i holds inputs and, one further on, targets."""
    rows = [split.window(int(place), length) for place in places]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def require(split: Split, *, length: int, at_least: int, where: str) -> int:
    """The number of windows of `length` tokens. Raises InputError when there are fewer than `at_least`."""
    windows = split.windows(length)
    if windows < at_least:
        raise InputError(
            f"{where}: {split.tokens} tokens for training are {windows} windows of train.context_tokens={length}, but one "
            f"step reads {at_least} (train.batch_windows * train.accumulate); pack more text, or lower these settings"
        )
    return windows
