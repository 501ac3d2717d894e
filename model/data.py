"""Batches from the token store, on their way to the device.

Purpose: the samples that the settings of a run name, as tensors, read ahead on a thread (and pinned, where they go to a GPU).
Guarantee: which ids a batch holds is a pure function of (store, settings, number of samples before it), whatever the number of
ranks and however often the run was interrupted. Forgotten documents are end-of-text, and no loss is taken of them; where
attention stays in documents, nothing else depends on them either.
Cost: about 10 us per window, beside the model; two batches wait in memory.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tokenmill.pipeline.config import Attention, TrainConfig
from tokenmill.pipeline.tokens import Split, prefetch
from tokenmill.pipeline.tokens.samples import Batch, Samples, read, slice_of


@dataclass(frozen=True, kw_only=True)
class Windows:
    """`ids`: int64 [windows, length + 1]; row i holds inputs and, one further on, targets. `kept`: bool, None where all are.

    `starts`: int64 [windows, length], where in its row the document of an input begins; None where attention needs none.
    """

    ids: Tensor
    kept: Tensor | None
    starts: Tensor | None

    def to(self, device: torch.device) -> Windows:
        """The same on `device`; from pinned memory the copy does not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Windows:
        """The same in pinned memory."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Windows:
        kept, starts = (None if one is None else change(one) for one in (self.kept, self.starts))
        return Windows(ids=change(self.ids), kept=kept, starts=starts)


def windows_at(split: Split, places: npt.NDArray[np.int64], length: int, attention: Attention) -> Windows:
    """The windows at `places` of `split`, where one follows the other."""
    return _tensors(read(split, places * length, length), attention)


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
        windows = _tensors(samples.read(*of), config.attention)
        return windows.pinned() if device.type == "cuda" else windows

    with prefetch.ahead(batch, numbers()) as batches:
        yield (windows.to(device) for windows in batches)


def _tensors(batch: Batch, attention: Attention) -> Windows:
    return Windows(
        ids=torch.from_numpy(batch.ids.astype(np.int64)),
        kept=None if batch.kept.all() else torch.from_numpy(batch.kept),
        starts=_starts(batch) if attention == "document" else None,
    )


def _starts(batch: Batch) -> Tensor | None:
    """None where every row is one document: then causal attention, which needs no mask and is faster, is the same."""
    rows, length = len(batch.ids), batch.ids.shape[1] - 1
    edges = batch.cu_seqlens().astype(np.int64)
    if len(edges) == rows + 1:
        return None
    return torch.from_numpy(np.repeat(edges[:-1] % length, np.diff(edges)).reshape(rows, length))
