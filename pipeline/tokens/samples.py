"""Samples: which tokens a trainer sees in which order, by arithmetic alone.

Purpose: sample k of a run is a window: `length` tokens to predict, its targets, after one token more. With w windows per epoch,
sample k belongs to epoch k // w and is at place k % w of that epoch's keyed permutation. With a mixture, k first determines the
source and the sample's number within that source; the same rule then applies to that number and to the windows of that source.
Guarantee: the content of sample k is a pure function of (store, seed, settings, k). So the state of a reader is one number.
Ranks take slices of the samples of a step, and the number of ranks may change during a run. Within an epoch no window is missed
or repeated.
Cost: opening is O(1); reading a window takes about 5 us from the page cache; memory is the order of a few thousand samples.

Windows are laid out in one of two ways over the tokens of a source, or of the split if there is no mixture:

- one after the other: the targets of window i begin at token i * length. In an epoch every token is predicted exactly once.
- aligned to documents: in each epoch the tokens are cut into slots of `length`, except that the first slot holds a keyed number
  of tokens. The targets of a slot's window begin at the first document that begins in the slot. If no document does, the slot
  is inside a long document, which is read in pieces of `length` from its start, and the window is the piece that begins in the
  slot. So every window begins a document or continues where the window before it ended. It takes what follows up to its length:
  in an epoch some tokens at the ends of windows are not read, and about as many are read twice. These are different tokens in
  each epoch.

The token before a document is the end-of-text of the one before it. It is the document's beginning: from it the model learns
which tokens documents begin with, and attention that stays within documents counts it to the document that it begins. The first
document of a split has none before it, and is given one. The last window of a source is filled up with end-of-text.

Ids of forgotten documents are replaced by end-of-text. `kept` is False there and in what fills a window up: they must not count
in the loss.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens.format import Ids
from tokenmill.pipeline.tokens.mixture import BLOCK, Mixture, mixture
from tokenmill.pipeline.tokens.order import permute
from tokenmill.pipeline.tokens.store import Split, TokenStore

ORDERED_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True, repr=False)
class Batch:
    """Samples as they are read. `ids`: [samples, length + 1]; the targets are the inputs shifted by one.

    `kept`: bool, of the same shape: whether the id may be a target.
    """

    ids: Ids
    kept: npt.NDArray[np.bool_]
    end_of_text: int

    def __repr__(self) -> str:
        masked = int((~self.kept).sum())
        return f"Batch of {len(self.ids):,} samples: ids {self.ids.dtype} {list(self.ids.shape)}, {masked:,} masked"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[np.generic]:
        """`np.asarray(batch)` gives the ids."""
        return np.array(self.ids, dtype=dtype, copy=copy)

    def cu_seqlens(self) -> npt.NDArray[np.int32]:
        """Cumulative lengths of the documents in the inputs, row after row: int32 [documents + 1], from 0 to samples * length.

        A document has the end-of-text before it as its beginning; the one after it belongs to the next document. Attention that
        is masked by these lengths (as in FlashAttention's variable-length kernels) never looks from one document into another,
        out of its row, or at forgotten tokens: each of these is now an end-of-text and so a document of its own.
        """
        begins = self.ids[:, :-1] == self.end_of_text
        begins[:, 0] = True
        return np.append(np.flatnonzero(begins), begins.size).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class _TokenRange:
    """A run of tokens that windows are laid over: one source, or the whole split."""

    first_token: int
    tokens: int

    def windows(self, length: int, *, aligned: bool) -> int:
        """The number w of windows. Aligned, the last one begins inside slot w - 1, so below token w * length, and is full."""
        return max(0, self.tokens // length - 1) if aligned else -(-self.tokens // length)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Samples:
    """The order of the samples of one split. The function `samples` makes it."""

    split: Split
    store: str
    length: int
    seed: int
    aligned: bool
    mixture: Mixture | None
    ranges: tuple[_TokenRange, ...]
    """One for each source of the mixture, or one for the split."""

    def __repr__(self) -> str:
        return f"Samples of {self.split.name}: {self.windows:,} an epoch; {self.order}; seed {self.seed}"

    @functools.cached_property
    def windows(self) -> int:
        """The number of windows in one epoch over everything."""
        return sum(one.windows(self.length, aligned=self.aligned) for one in self.ranges)

    @functools.cached_property
    def order(self) -> str:
        """The identity of the order, in words: everything besides store and seed that decides which sample is which."""
        quotas = "".join(f", {one.source} {one.quota}/{BLOCK}" for one in self.mixture.shares) if self.mixture else ""
        return f"windows of {self.length} targets{' aligned to documents' if self.aligned else ''}{quotas}"

    @property
    def _layout(self) -> _Layout:
        return _Layout(self.ranges, self.mixture, self.length, self.seed, self.aligned)

    def starts(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """Where, in the split, the targets of the samples `first` to `first + count`, both at least 0, begin. int64 [count]"""
        return self._extents(first, count)[:, 0]

    def read(self, first: int, count: int) -> Batch:
        """Read the samples `first` to `first + count`. Raises CorruptFile when bytes are not those that were packed."""
        return read(self.split, self._extents(first, count), self.length)

    def targets(self, number: int) -> tuple[int, int]:
        """The first target of a sample, in the split, and the token after its last."""
        start, end = self._extents(number, 1)[0].tolist()
        return start, min(start + self.length, end)

    def _extents(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """For each sample: where its targets begin, and where its source ends. int64 [count, 2]"""
        if first < 0 or count < 0:
            raise InputError(f"samples are numbered from 0: {first=} {count=}")
        blocks = range(first // ORDERED_AT_ONCE, -(-(first + count) // ORDERED_AT_ONCE))
        if not blocks:
            return np.zeros((0, 2), dtype=np.int64)
        at = first - blocks[0] * ORDERED_AT_ONCE
        slots: npt.NDArray[np.int64] = np.concatenate([_slots(self._layout, block) for block in blocks])[at : at + count]
        origins, within, ends = slots.T
        if self.aligned:
            pairs = zip(origins.tolist(), within.tolist(), strict=True)
            within = np.array([self._aligned(origin, slot) for origin, slot in pairs], dtype=np.int64)
        return np.stack([origins + within, ends], axis=1)

    def _aligned(self, origin: int, slot: int) -> int:
        """Where the window of the slot that begins at token `slot` begins. Both are counted from `origin`."""
        if slot <= 0:
            return 0
        first, end = (token - origin for token in self.split.document_at(origin + slot))
        if first < slot and end < slot + self.length:
            return end
        return first + -(-(slot - first) // self.length) * self.length


class _Layout(NamedTuple):
    """What decides where each sample begins, apart from the files: the cache below must not keep a store open."""

    ranges: tuple[_TokenRange, ...]
    mixture: Mixture | None
    length: int
    seed: int
    aligned: bool


@functools.lru_cache(maxsize=16)
def _slots(layout: _Layout, block: int) -> npt.NDArray[np.int64]:
    """For each sample of a block of `ORDERED_AT_ONCE`: the first token of its range, its slot counted from there, the end.

    int64 [samples, 3]. A whole block is computed at once, because permuting few numbers takes as long as permuting many.
    """
    numbers = np.arange(block * ORDERED_AT_ONCE, (block + 1) * ORDERED_AT_ONCE, dtype=np.int64)
    ranges = np.zeros(len(numbers), dtype=np.int64)
    if layout.mixture is not None:
        ranges, numbers = layout.mixture.places(numbers)
    found = np.empty((len(numbers), 3), dtype=np.int64)
    for place, tokens in enumerate(layout.ranges):
        windows = tokens.windows(layout.length, aligned=layout.aligned)
        mine = np.flatnonzero(ranges == place)
        epochs, windows_at = np.divmod(numbers[mine], windows)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            slots = permute(windows_at[here], windows, seed=layout.seed, epoch=epoch) * layout.length
            if layout.aligned:
                # A keyed number below `length`: the place where the permutation of `length` numbers puts 0.
                slots -= permute(np.zeros(1, dtype=np.int64), layout.length, seed=layout.seed, epoch=epoch)
            found[mine[here], 1] = slots
        found[mine, 0], found[mine, 2] = tokens.first_token, tokens.first_token + tokens.tokens
    return found


def samples(
    store: TokenStore,
    *,
    length: int,
    seed: int = 0,
    aligned: bool = False,
    weights: Mapping[str, float] | None = None,
    most_epochs: float | None = None,
    run_samples: int | None = None,
) -> Samples:
    """The samples of the training split, each of `length` targets.

    `aligned`: align windows to documents. `weights`: of the sources; None reads all text as it is. `most_epochs`: nothing is
    read more often; this requires `run_samples`, the number of samples that the run reads. Raises InputError when there is no
    window, or too few for `most_epochs`; ConfigError for impossible weights.
    """
    if not isinstance(length, int) or length < 1 or not isinstance(seed, int) or seed < 0:  # type: ignore[redundant-expr]
        raise ConfigError(f"samples have a whole number of tokens, at least 1, and a seed of at least 0: {length=} {seed=}")
    split = store.split("train")
    whole = _TokenRange(first_token=0, tokens=split.tokens)
    if most_epochs is not None and run_samples is None:
        raise ConfigError(f"{most_epochs=} caps nothing unless the number of samples of the run is known")
    ranges = {run.source: _TokenRange(first_token=run.first_token, tokens=run.tokens) for run in split.sources}
    windows = {source: one.windows(length, aligned=aligned) for source, one in ranges.items()}
    mixed = None
    if weights is not None:
        mixed = mixture(windows, weights, samples=run_samples or 1, most_epochs=most_epochs)
    made = Samples(
        split=split,
        store=store.hash,
        length=length,
        seed=seed,
        aligned=aligned,
        mixture=mixed,
        ranges=tuple(ranges[one.source] for one in mixed.shares) if mixed else (whole,),
    )
    if made.windows == 0:
        raise InputError(f"{store.folder}: {split.tokens} tokens to train on do not give a window of {length}; pack more text")
    if mixed is None and most_epochs is not None and (run_samples or 0) > most_epochs * made.windows:
        raise InputError(
            f"{store.folder}: {run_samples} samples are wanted, but {most_epochs=} times its {made.windows} windows are fewer; "
            "take fewer steps, allow more epochs, or add text"
        )
    return made


def consecutive(split: Split, numbers: npt.NDArray[np.int64], length: int) -> Batch:
    """Windows in the order of the split: the targets of number i begin at token i * length. Raises IndexError, CorruptFile."""
    return read(split, np.stack([numbers * length, np.full(len(numbers), split.tokens)], axis=1), length)


def read(split: Split, extents: npt.NDArray[np.int64], length: int) -> Batch:
    """Windows of `length` targets. `extents`: where the targets begin and where their source ends, int64 [windows, 2].

    Raises IndexError, CorruptFile.
    """
    ids = np.full((len(extents), length + 1), split.end_of_text, split.dtype)
    kept = np.zeros(ids.shape, dtype=np.bool_)
    for row, (start, end) in enumerate(extents.tolist()):
        first, stop = max(start - 1, 0), min(start + length, end)
        at = slice(first - start + 1, stop - start + 1)
        split.read_into(first, stop, ids[row, at])
        kept[row, at] = split.kept(first, stop)
    if split.has_forgotten:
        ids[~kept] = split.end_of_text
    return Batch(ids=ids, kept=kept, end_of_text=split.end_of_text)


def slice_of(first: int, count: int, *, rank: int, ranks: int) -> tuple[int, int]:
    """The first sample and the number of samples that `rank` of `ranks` reads from the samples `first` to `first + count`.

    Raises ConfigError if they cannot be shared evenly.
    """
    if not 0 <= rank < ranks or count % ranks:
        raise ConfigError(f"{count} samples of a step cannot be shared evenly: {rank=} {ranks=}")
    return first + count // ranks * rank, count // ranks


def samples_of(store: TokenStore, config: TrainConfig) -> Samples:
    """The samples of a run. Raises ConfigError for impossible weights, InputError for a store that is too small."""
    return samples(
        store,
        length=config.context_tokens,
        seed=config.seed,
        aligned=config.align_documents,
        weights={source: weight for source, weight in config.weights.items() if weight} or None,
        most_epochs=config.most_epochs,
        run_samples=config.samples_before(config.steps),
    )
