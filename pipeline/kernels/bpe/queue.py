"""Pairs of tokens that wait to be merged: their counts, their places, and whose turn is next.

Purpose: what byte-pair encoding asks of pairs (see `bpe`).
Guarantee: the next entry is the one with the highest count, then the lowest pair, then the earliest.
Cost: 32 to 48 bytes per pair in the table, and 36 per entry. Only entries with high counts are in the heap; when it is empty,
those with a quarter of that count and more are put there, in one pass. Most pairs never are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.kernels.words.lookups import Places

Int32s = npt.NDArray[np.int32]


class Queue(NamedTuple):
    """Pairs that wait, and the places where they occurred."""

    pairs: Places
    """int64 [slots, 2]: 1 + the pair (first id << 32 | second id), 0 for none; 2 x its count + SHARED."""
    entries: Places
    """int64 [entries, 4], by `PAIR`, `COUNT` (as of when it was queued; DONE: merged), `START` and `SIZE` of its places."""
    heap: Int32s
    """int32 [entries]: entries with `state[LEAST]` and more, the next one first. Most never come to that."""
    places: Int32s
    """int32: lists of cells, one behind the other."""
    state: Places
    """int64 [6], by the names below."""


PAIR, COUNT, START, SIZE = range(4)
PAIRS, ENTRIES, HEAPED, PLACES, LEAST, MERGES = range(6)
DONE = -1
SHARED = 1
"""The pair has more than one entry, or its places are in no order: the words there are read from their beginning."""


@inlined
def key_of(first: Integer, second: Integer) -> Integer:
    return np.int64(first) << 32 | np.int64(second)


@inlined
def find(queue: Queue, pair: Integer) -> Integer:
    """The slot of a pair, or the one where it would be."""
    mask = np.uint64(len(queue.pairs) - 1)
    slot = mix64(np.uint64(pair)) & mask
    while queue.pairs[slot, 0] and queue.pairs[slot, 0] != pair + 1:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@inlined
def slot_of(queue: Queue, pair: Integer) -> Integer:
    """The slot of a pair, which is then there."""
    slot = find(queue, pair)
    if queue.pairs[slot, 0] == 0:
        queue.pairs[slot, 0] = pair + 1
        queue.pairs[slot, 1] = 0
        queue.state[PAIRS] += 1
    return slot


@leaf
def rehash(old: Queue, new: Queue) -> None:
    """Copy the pairs of `old` into the empty table of `new`."""
    for slot in range(len(old.pairs)):
        if old.pairs[slot, 0]:
            to = find(new, old.pairs[slot, 0] - 1)
            new.pairs[to, 0] = old.pairs[slot, 0]
            new.pairs[to, 1] = old.pairs[slot, 1]


@inlined
def enqueue(queue: Queue, slot: Integer, size: Integer) -> None:
    """An entry for the pair in `slot`, with the next `size` places."""
    entry, count = queue.state[ENTRIES], queue.pairs[slot, 1] >> 1
    queue.entries[entry, PAIR] = queue.pairs[slot, 0] - 1
    queue.entries[entry, COUNT] = count
    queue.entries[entry, START] = queue.state[PLACES]
    queue.entries[entry, SIZE] = size
    queue.state[ENTRIES] += 1
    queue.state[PLACES] += size
    if count >= queue.state[LEAST]:
        _push(queue, entry)


@leaf
def refill(queue: Queue, min_count: Integer) -> bool:
    """Lower the count from which entries are in the heap, and put them there. False: there are no lower counts."""
    state = queue.state
    if state[LEAST] <= 1:
        return False
    lower = max(state[LEAST] // 4, 1)
    state[LEAST] = max(lower, min_count) if state[LEAST] > min_count else lower
    for entry in range(state[ENTRIES]):
        if queue.entries[entry, COUNT] >= state[LEAST]:
            _push(queue, entry)
    return True


@inlined
def _precedes(queue: Queue, one: Integer, other: Integer) -> bool:
    """Whether an entry's turn is before another's: higher counts, lower pairs, and earlier entries first."""
    entries = queue.entries
    if entries[one, COUNT] != entries[other, COUNT]:
        return bool(entries[one, COUNT] > entries[other, COUNT])
    if entries[one, PAIR] != entries[other, PAIR]:
        return bool(entries[one, PAIR] < entries[other, PAIR])
    return bool(one < other)


@leaf
def _push(queue: Queue, entry: Integer) -> None:
    heap, at = queue.heap, queue.state[HEAPED]
    queue.state[HEAPED] += 1
    while at > 0 and _precedes(queue, entry, heap[(at - 1) >> 1]):
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = entry


@leaf
def pop(queue: Queue) -> None:
    """Take the first entry out."""
    queue.state[HEAPED] -= 1
    if queue.state[HEAPED]:
        sift_down(queue, queue.heap[queue.state[HEAPED]])


@leaf
def sift_down(queue: Queue, entry: Integer) -> None:
    """Put `entry` in the place of the first one."""
    heap, size, at = queue.heap, queue.state[HEAPED], 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _precedes(queue, heap[child + 1], heap[child]):
            child += 1
        if not _precedes(queue, heap[child], entry):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry
