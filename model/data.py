"""Batches from the token store, as tensors for the device.

Purpose: turns the samples that a run's settings select into tensors, read ahead on a thread (and pinned if they go to a GPU).
Guarantee: the ids of a batch are a pure function of (store, settings, number of samples before it), whatever the number of
ranks and however often the run was interrupted. Forgotten documents read as end-of-text and do not contribute to the loss; if
attention stays within documents, nothing else depends on them either.
Cost: about 10 us per window, in addition to the model; two batches wait in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tokenmill.pipeline.config import Attention, TrainConfig
from tokenmill.pipeline.tokens import Split, prefetch
from tokenmill.pipeline.tokens.samples import Batch, Samples, consecutive, slice_of


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A batch of windows of `length` tokens."""

    ids: Tensor
    """int64 [windows, length + 1]: the first `length` ids of a row are inputs, the last `length` their targets."""
    kept: Tensor | None
    """bool [windows, length + 1]: False for ids that are no targets, of forgotten documents; None if all are kept."""
    starts: Tensor | None
    """int64 [windows, length]: where in its row the document of an input begins; None if attention needs no mask."""
    targets: int
    """How many targets count."""
    edges: Tensor | None = None
    """int32 [documents + 1]: with `starts`, where the documents of the inputs begin, row after row, and where they end."""

    def to(self, device: torch.device) -> Windows:
        """Copy the batch to `device`; from pinned memory the copy is asynchronous."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Windows:
        """Copy the batch to pinned memory."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Windows:
        kept, starts, edges = (None if one is None else change(one) for one in (self.kept, self.starts, self.edges))
        return dataclasses.replace(self, ids=change(self.ids), kept=kept, starts=starts, edges=edges)


def windows_at(split: Split, numbers: npt.NDArray[np.int64], length: int, attention: Attention) -> Windows:
    """Read windows of a split, by their numbers from 0, int64 [windows]. Raises CorruptFile if a shard is damaged."""
    return _tensors(consecutive(split, numbers, length), attention)


@contextlib.contextmanager
def loader(
    samples: Samples, config: TrainConfig, *, first: int, step: int = 0, device: torch.device, rank: int = 0, ranks: int = 1
) -> Iterator[Iterator[Windows]]:
    """Yield an endless iterator of batches on `device`, of at most `config.batch_windows` windows each.

    The first update is number `step`, from 0, and begins at sample `first`. Of each update's samples, the iterator holds the
    slice of this rank.

    Raises
    ------
    ConfigError
        An update's samples cannot be shared evenly among `ranks`.
    CorruptFile
        A shard is damaged; raised when the iterator is asked for the batch.
    """
    slice_of(first, config.batch_windows * config.accumulate, rank=rank, ranks=ranks)

    def numbers() -> Iterator[tuple[int, int]]:
        reached = first
        for update in itertools.count(step):
            size = config.batch_windows * config.batches(update)
            begin, count = slice_of(reached, size, rank=rank, ranks=ranks)
            reached += size
            for at in range(begin, begin + count, config.batch_windows):
                yield at, min(config.batch_windows, begin + count - at)

    def batch(of: tuple[int, int]) -> Windows:
        made = _tensors(samples.read(*of), config.attention)
        return made.pinned() if device.type == "cuda" else made

    with prefetch.ahead(batch, numbers()) as batches:
        yield (one.to(device) for one in batches)


def _tensors(batch: Batch, attention: Attention) -> Windows:
    starts, edges = _documents(batch) if attention == "document" else (None, None)
    return Windows(
        ids=torch.from_numpy(batch.ids.astype(np.int64)),
        kept=None if batch.kept[:, 1:].all() else torch.from_numpy(batch.kept),
        starts=starts,
        targets=int(batch.kept[:, 1:].sum()),
        edges=edges,
    )


def _documents(batch: Batch) -> tuple[Tensor | None, Tensor | None]:
    """`Windows.starts` and `Windows.edges`.

    None if every row is one document: causal attention is then the same, and faster without a mask.
    """
    rows, length = len(batch.ids), batch.ids.shape[1] - 1
    edges = batch.cu_seqlens()
    if len(edges) == rows + 1:
        return None, None
    starts = np.repeat(edges[:-1].astype(np.int64) % length, np.diff(edges)).reshape(rows, length)
    return torch.from_numpy(starts), torch.from_numpy(edges)
