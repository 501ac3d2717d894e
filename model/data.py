"""Batches from the token store, on their way to the device.

Purpose: the samples that the settings of a run name, as tensors, read ahead on a thread (and pinned, where they go to a GPU).
Guarantee: which ids a batch holds is a pure function of (store, settings, number of samples before it), whatever the number of
ranks and however often the run was interrupted. Forgotten documents are end-of-text, and no loss is taken of them.
Cost: about 10 us per window, beside the model; two batches wait in memory.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.config import TrainConfig
from pipeline.tokens import Split, TokenStore, prefetch
from pipeline.tokens.samples import Batch, Samples, read, samples, slice_of


@dataclass(frozen=True, kw_only=True)
class Windows:
    """`ids`: int64 [windows, length + 1]; row i holds inputs and, one further on, targets. `kept`: bool, None where all are."""

    ids: Tensor
    kept: Tensor | None

    def to(self, device: torch.device) -> Windows:
        """The same on `device`; from pinned memory the copy does not wait."""
        kept = None if self.kept is None else self.kept.to(device, non_blocking=True)
        return Windows(ids=self.ids.to(device, non_blocking=True), kept=kept)


def samples_of(store: TokenStore, config: TrainConfig) -> Samples:
    """The samples of a run. Raises ConfigError for impossible weights, InputError for a store that is too small."""
    return samples(
        store,
        length=config.context_tokens,
        seed=config.seed,
        aligned=config.align_documents,
        weights=config.weights or None,
        most_epochs=config.most_epochs,
        run_samples=config.steps * config.batch_windows * config.accumulate,
    )


def windows_at(split: Split, places: npt.NDArray[np.int64], length: int) -> Windows:
    """The windows at `places` of `split`, where one follows the other."""
    return _tensors(read(split, places * length, length), pin=False)


@contextlib.contextmanager
def loader(
    samples: Samples, config: TrainConfig, *, first: int, device: torch.device, rank: int = 0, ranks: int = 1
) -> Iterator[Iterator[Windows]]:
    """Endless batches of `config.batch_windows` from sample `first` on: of each update's samples the slice of this rank.

    Raises ConfigError where an update's samples cannot be shared evenly, and CorruptFile when the batch is asked for.
    """
    per_update = config.batch_windows * config.accumulate
    slice_of(first, per_update, rank=rank, ranks=ranks)

    def numbers() -> Iterator[tuple[int, int]]:
        for update in itertools.count(first, per_update):
            begin, count = slice_of(update, per_update, rank=rank, ranks=ranks)
            for at in range(begin, begin + count, config.batch_windows):
                yield at, min(config.batch_windows, begin + count - at)

    def batch(of: tuple[int, int]) -> Windows:
        return _tensors(samples.read(*of), pin=device.type == "cuda")

    with prefetch.ahead(batch, numbers()) as batches:
        yield (windows.to(device) for windows in batches)


def _tensors(batch: Batch, *, pin: bool) -> Windows:
    ids = torch.from_numpy(batch.ids.astype(np.int64))
    kept = None if batch.kept.all() else torch.from_numpy(batch.kept)
    if pin:
        ids, kept = ids.pin_memory(), None if kept is None else kept.pin_memory()
    return Windows(ids=ids, kept=kept)
