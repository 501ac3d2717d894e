"""Buckets of any size, block by block: who stands where in a bucket, and how many documents before it each one is paired with.

Purpose: bands come in order of key and rank, in blocks that fit in memory. A bucket may go on in the next block, so the end of
it is carried along: `Open`.
Guarantee: what is paired, and what is counted, does not depend on where blocks end.
Cost: one block, and the last sqrt(limit / 2 * n) documents of one bucket, where n bands are read: 9 MB for 40 billion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.external.runs import Array

Places = npt.NDArray[np.int64]


@dataclass(kw_only=True)
class Open:
    """A bucket that may go on in the next block."""

    key: int = -1
    members: int = 0
    """Documents so far, also removed ones."""
    place: int = 0
    """Documents so far that are not removed."""
    first: int = 0
    """The first of these."""
    tail: Array = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    """The last of these; all of them, while `over` is False."""
    over: bool = False
    """Whether some of its pairs are left out."""


@dataclass(frozen=True, kw_only=True)
class BucketBlock:
    """Documents of buckets as `bucket_pairs` takes them, from `at` on, and what is left out."""

    near: Places
    place: Places
    first: Array
    ranks: Array
    at: int
    over: tuple[Array, Array]
    """Keys and ranks of the buckets with pairs that are left out, each document once over all blocks."""
    buckets: int
    """Such buckets that end here."""
    members: int
    """Their documents, as far as they are not removed."""
    left_out: int
    """Pairs of this block that are left out."""


def blocks(found: Iterable[list[Array]], limit: int, rows: int, removed: npt.NDArray[np.uint8] | None) -> Iterator[BucketBlock]:
    """The bands of buckets of several documents.

    Parameters
    ----------
    found
        Keys and ranks, in order of both.
    limit
        See `candidates`.
    rows
        How many bands there are in all.
    removed
        A bit for each rank: those that are left out. None: all take part, and `BucketBlock.over` is given.
    """
    # A document is paired with min(place, limit / 2 * members / place) others at most.
    keep = limit + 3 + (0 if removed is None else math.isqrt(limit // 2 * (rows + 1)))
    bucket = Open()
    for keys, ranks in found:
        # Most keys belong to one document only. The last one may go on.
        sizes = np.diff(bounds_of(keys))
        several = sizes > 1
        several[0] |= int(keys[0]) == bucket.key
        several[-1] = True
        chosen = np.repeat(several, sizes)
        block, bucket = _block(keys[chosen], ranks[chosen], bucket, limit, keep, removed)
        yield block
    if bucket.over:
        yield _block(np.empty(0, np.uint64), np.empty(0, np.uint64), bucket, limit, keep, removed)[0]


def _block(
    keys: Array, ranks: Array, before: Open, limit: int, keep: int, removed: npt.NDArray[np.uint8] | None
) -> tuple[BucketBlock, Open]:
    last = int(keys[-1]) if len(keys) else -1
    members = places_of(keys, before.key, before.members)
    count = int(members[-1]) + 1 if len(keys) else 0
    if removed is not None:
        kept = ~is_set(removed, ranks)
        keys, ranks, members = keys[kept], ranks[kept], members[kept]
    goes_on = bool(len(keys)) and int(keys[0]) == before.key and before.place > 0
    place = places_of(keys, before.key, before.place)
    # The fewer documents before one are kept, the more of them it is compared with, so each round costs about the same.
    near = limit // 2 * (members + 1) // (place + 1)
    near = np.where(place < limit, place, np.minimum(near, place))
    left_out = np.maximum(place - near - 1, 0)
    bounds = bounds_of(keys)
    over = np.add.reduceat(left_out, bounds[:-1]) > 0 if len(keys) else np.zeros(0, dtype=np.bool_)
    sizes, first = np.diff(bounds), ranks[bounds[:-1]]
    tail, had_over = np.empty(0, dtype=np.uint64), False
    if goes_on:
        tail, had_over = before.tail, before.over
        sizes[0], first[0], over[0] = sizes[0] + before.place, before.first, over[0] | before.over
    in_over = np.repeat(over, np.diff(bounds))
    # What stood in the bucket before it went over the limit.
    late = tail if goes_on and over[0] and not had_over else tail[:0]
    stays_open = bool(len(keys)) and int(keys[-1]) == last
    ended = over[: len(over) - stays_open]
    lost = before.over and not goes_on and before.key != last
    block = BucketBlock(
        near=np.concatenate([np.zeros(len(tail), dtype=np.int64), near]),
        place=np.concatenate([np.zeros(len(tail), dtype=np.int64), place]),
        first=np.concatenate([tail, np.repeat(first, np.diff(bounds))]),
        ranks=np.concatenate([tail, ranks]),
        at=len(tail),
        over=(
            np.concatenate([np.full(len(late), max(before.key, 0), dtype=np.uint64), keys[in_over]]),
            np.concatenate([late, ranks[in_over]]),
        ),
        buckets=int(ended.sum()) + lost,
        members=int(sizes[: len(ended)][ended].sum()) + lost * before.place,
        left_out=int(left_out.sum()),
    )
    after = Open(key=last, members=count)
    if stays_open:
        same = goes_on and len(sizes) == 1
        mine = np.concatenate([tail if same else tail[:0], ranks[bounds[-2] :]])
        after = Open(
            key=last, members=count, place=int(sizes[-1]), first=int(first[-1]), tail=mine[-keep:], over=bool(over[-1])
        )
    elif last == before.key:
        after = Open(key=last, members=count, place=before.place, first=before.first, tail=before.tail, over=before.over)
    return block, after


def bounds_of(keys: Array) -> Places:
    """Where the buckets of sorted keys begin, and where the last one ends. int64 [buckets + 1]"""
    begins = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([[0], begins, [len(keys)]]) if len(keys) else np.zeros(1, dtype=np.int64)


def places_of(keys: Array, key: int, before: int) -> Places:
    """The place of each document in its bucket, from 0; from `before` on in the first bucket, if its key is `key`."""
    bounds = bounds_of(keys)
    found = np.arange(len(keys)) - np.repeat(bounds[:-1], np.diff(bounds))
    if len(keys) and int(keys[0]) == key:
        found[: bounds[1]] += before
    return found


def is_set(bits: npt.NDArray[np.uint8], ranks: Array) -> npt.NDArray[np.bool_]:
    """The bit of each rank, as `survivors` has them."""
    return (bits[(ranks >> np.uint64(3)).astype(np.int64)] >> (ranks & np.uint64(7)).astype(np.uint8) & 1).astype(np.bool_)
