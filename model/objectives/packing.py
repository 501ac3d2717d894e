"""Examples of any lengths in rows of one length.

Purpose: whole examples share rows, so that little of a row is filled up and no example is cut between rows.
Guarantee: each example is in one row. Which row is sample k is a pure function of (examples, seed, k): every epoch has all rows
once, in an order of its own.
Cost: a few microseconds an example, once; memory for all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.tokens.order import permute
from tokenmill.pipeline.tokens.samples import Batch


@dataclass(frozen=True, kw_only=True)
class Example:
    """One text as ids, without the end-of-text around it. `kept`: bool [ids + 1], which of them and of the end are targets."""

    ids: npt.NDArray[np.int64]
    kept: npt.NDArray[np.bool_]
    label: int = 0
    """Its class, if it has one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Examples in rows: `[end] a a a [end] b b [end] [end]`. An example begins after an end-of-text, as documents do."""

    ids: npt.NDArray[np.int64]
    """int64 [rows, length + 1]; what is left of a row is filled up with end-of-text."""
    kept: npt.NDArray[np.bool_]
    """bool [rows, length + 1]: which ids are targets."""
    ends: tuple[tuple[int, ...], ...]
    """For each row, where the last id of each of its examples is."""
    labels: tuple[tuple[int, ...], ...]
    """Of the same examples."""
    end_of_text: int
    seed: int
    filled: float
    """The part of the rows that is not filled up."""

    def __len__(self) -> int:
        return len(self.ids)

    def numbers(self, first: int, count: int) -> npt.NDArray[np.int64]:
        """The rows of the samples `first` to `first + count`, int64 [count]."""
        epochs, places = np.divmod(np.arange(first, first + count), max(1, len(self)))
        found = np.empty(count, dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            found[here] = permute(places[here], len(self), seed=self.seed, epoch=epoch)
        return found

    def batch(self, numbers: npt.NDArray[np.int64]) -> Batch:
        """The rows of these numbers, as samples of a store are read."""
        return Batch(ids=self.ids[numbers].astype(np.uint32), kept=self.kept[numbers], end_of_text=self.end_of_text)


def packed(examples: Sequence[Example], *, length: int, seed: int, end_of_text: int) -> Rows:
    """Examples of fewer than `length` ids each, in rows of `length` targets."""
    rows = pack([len(one.kept) for one in examples], length)
    ids = np.full((len(rows), length + 1), end_of_text, dtype=np.int64)
    kept = np.zeros(ids.shape, dtype=np.bool_)
    ends, labels = [], []
    for row, held in enumerate(rows):
        at, last = 1, []
        for number in held:
            one = examples[number]
            ids[row, at : at + len(one.ids)] = one.ids
            kept[row, at : at + len(one.kept)] = one.kept
            at += len(one.kept)
            last.append(at - 2)
        ends.append(tuple(last))
        labels.append(tuple(examples[number].label for number in held))
    return Rows(
        ids=ids,
        kept=kept,
        ends=tuple(ends),
        labels=tuple(labels),
        end_of_text=end_of_text,
        seed=seed,
        filled=sum(len(one.kept) for one in examples) / max(1, len(rows) * length),
    )


def pack(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which numbers, by their lengths, go into which row of `room`: the longest first, each where the least room is left.

    Best-fit decreasing (Johnson 1973, "Near-optimal bin packing algorithms"). Every length is from 1 to `room`.
    """
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(room + 1)]
    # Bit r is set if a row has room for exactly r.
    open_rooms = 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        enough = open_rooms >> lengths[number]
        left = room if not enough else lengths[number] + (enough & -enough).bit_length() - 1
        if enough:
            row = with_room[left].pop()
            open_rooms &= ~(int(not with_room[left]) << left)
        else:
            row = len(rows)
            rows.append([])
        rows[row].append(number)
        left -= lengths[number]
        with_room[left].append(row)
        open_rooms |= int(left > 0) << left
    return rows
