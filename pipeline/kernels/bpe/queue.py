"""The queue of token pairs that wait to be merged: their counts, their places, and which pair is next.

Purpose: the merge loop of byte-pair encoding (see `merging`) looks up and orders pairs here.
Guarantee: the next entry is the one with the highest count; of equal counts the lowest pair, then the earliest entry.
Cost: 32 to 48 bytes per pair in the table, and 36 per entry. The heap holds only entries with high counts; when it is empty,
one pass adds the entries with at least a quarter of that count. Most pairs never enter the heap.
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
    """int64 [slots, 2]: 1 + the pair (first id << 32 | second id), or 0 for a free slot; 2 * its count + the SHARED bit."""
    entries: Places
    """int64 [entries, 4]: `PAIR`; `COUNT`, as last looked up, or DONE once merged; `START` and `SIZE` of its places."""
    heap: Int32s
    """int32 [entries]: a heap of the entries with a count of at least `state[LEAST]`; the next one is first."""
    places: Int32s
    """int32: lists of cells, end to end."""
    state: Places
    """int64 [6], indexed by PAIRS, ENTRIES, HEAPED, PLACES, LEAST and MERGES: used lengths, and the least count in the heap."""


PAIR, COUNT, START, SIZE = range(4)
PAIRS, ENTRIES, HEAPED, PLACES, LEAST, MERGES = range(6)
DONE = -1
SHARED = 1
"""Bit of a pair that has more than one entry, or unordered places: words at its places are read from their beginning."""


@inlined
def key_of(first: Integer, second: Integer) -> Integer:
    """The pair of two ids as one integer."""
    return np.int64(first) << 32 | np.int64(second)


@inlined
def find(queue: Queue, pair: Integer) -> Integer:
    """The slot of a pair, or the free slot where it would be added."""
    mask = np.uint64(len(queue.pairs) - 1)
    slot = mix64(np.uint64(pair)) & mask
    while queue.pairs[slot, 0] and queue.pairs[slot, 0] != pair + 1:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot)


@inlined
def slot_of(queue: Queue, pair: Integer) -> Integer:
    """The slot of a pair, which is added with a count of 0 if it is new."""
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
    """Add an entry for the pair in `slot`, with the next `size` places."""
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
    """Lower the least count in the heap, and add the entries that reach it. Returns False if there is no lower count."""
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
    """Whether entry `one` comes before entry `other`: by higher count, then lower pair, then earlier entry."""
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
    """Remove the first entry from the heap."""
    queue.state[HEAPED] -= 1
    if queue.state[HEAPED]:
        sift_down(queue, queue.heap[queue.state[HEAPED]])


@leaf
def sift_down(queue: Queue, entry: Integer) -> None:
    """Replace the heap's first entry by `entry`, and restore the order of the heap."""
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
