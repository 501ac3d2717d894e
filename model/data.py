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
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tokenmill.pipeline.config import Attention, TrainConfig
from tokenmill.pipeline.tokens import Split, prefetch, samples
from tokenmill.pipeline.tokens.samples import consecutive, slice_of


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


class TensorBatch(Protocol):
    """What every objective's batch has: a dataclass whose tensors begin with `ids`, and the number of targets in them."""

    @property
    def ids(self) -> Tensor:
        """What the model reads first, int64."""
        ...

    @property
    def targets(self) -> int:
        """By how many the sum of the losses is divided."""
        ...


SomeBatch = TypeVar("SomeBatch", bound=TensorBatch)


def moved(batch: SomeBatch, device: torch.device) -> SomeBatch:
    """A copy of the batch on `device`; from pinned memory the copy is asynchronous."""
    return _each(batch, lambda tensor: tensor.to(device, non_blocking=True))


def pinned(batch: SomeBatch) -> SomeBatch:
    """A copy of the batch in pinned memory."""
    return _each(batch, Tensor.pin_memory)


def _each(batch: SomeBatch, change: Callable[[Tensor], Tensor]) -> SomeBatch:
    tensors = {name: change(value) for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return dataclasses.replace(batch, **tensors)  # type: ignore[type-var]


def windows_at(split: Split, numbers: npt.NDArray[np.int64], length: int, attention: Attention) -> Windows:
    """Read windows of a split, by their numbers from 0, int64 [windows]. Raises CorruptFile if a shard is damaged."""
    return windows_of(consecutive(split, numbers, length), attention)


def reader(of: samples.Samples, attention: Attention) -> Callable[[int, int], Windows]:
    """Reads samples from a number on, so many. It raises CorruptFile if a shard is damaged."""
    return lambda first, count: windows_of(of.read(first, count), attention)


@contextlib.contextmanager
def loader(
    read: Callable[[int, int], SomeBatch],
    config: TrainConfig,
    *,
    first: int,
    step: int = 0,
    device: torch.device,
    rank: int = 0,
    ranks: int = 1,
) -> Iterator[Iterator[SomeBatch]]:
    """Yield an endless iterator of batches on `device`, of at most `config.batch_windows` samples each.

    The first update is number `step`, from 0, and begins at sample `first`. Of each update's samples, the iterator holds the
    slice of this rank. `read` gives the samples from a number on, so many; it is called on another thread.

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

    def batch(of: tuple[int, int]) -> SomeBatch:
        made = read(*of)
        return pinned(made) if device.type == "cuda" else made

    with prefetch.ahead(batch, numbers()) as batches:
        yield (moved(one, device) for one in batches)


def windows_of(batch: samples.Batch, attention: Attention) -> Windows:
    """Samples as tensors."""
    starts, edges = _documents(batch) if attention == "document" else (None, None)
    return Windows(
        ids=torch.from_numpy(batch.ids.astype(np.int64)),
        kept=None if batch.kept[:, 1:].all() else torch.from_numpy(batch.kept),
        starts=starts,
        targets=int(batch.kept[:, 1:].sum()),
        edges=edges,
    )


def _documents(batch: samples.Batch) -> tuple[Tensor | None, Tensor | None]:
    """`Windows.starts` and `Windows.edges`.

    None if every row is one document: causal attention is then the same, and faster without a mask.
    """
    rows, length = len(batch.ids), batch.ids.shape[1] - 1
    edges = batch.cu_seqlens()
    if len(edges) == rows + 1:
        return None, None
    starts = np.repeat(edges[:-1].astype(np.int64) % length, np.diff(edges)).reshape(rows, length)
    return torch.from_numpy(starts), torch.from_numpy(edges)
