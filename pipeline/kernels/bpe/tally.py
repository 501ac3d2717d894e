"""Counts of distinct byte strings (pieces): an open-addressing table whose keys lie end to end in one array.

Purpose: count hundreds of millions of pre-tokens without an object for each.
Guarantee: two pieces share an entry exactly if their bytes are equal; the hash only finds the slot. Entries are numbered
in the order in which they were first seen.
Cost: 32 bytes per entry, 16 to 32 more for its slots, and its bytes; 10 to 20 ns for a known piece.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, load
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.kernels.words.lookups import Bytes, Places, hash_bytes

SPREAD = 2
"""The least number of slots per entry."""
_INDEX_BITS = np.uint64(32)
_INDEX = np.uint64((1 << 32) - 1)


class Tally(NamedTuple):
    """The table."""

    slots: npt.NDArray[np.uint64]
    """uint64 [a power of two]: 1 + an entry's number in the lower half, the lower half of its hash in the upper; 0 if free."""
    entries: Places
    """int64 [entries, 4]: `HASH`, `COUNT`, `START`, `SIZE`; kept together, so that an entry is one access to memory."""
    arena: Bytes
    """uint8: the bytes of the entries, end to end."""
    used: Places
    """int64 [2]: the number of entries, and the number of bits by which a hash is shifted right to give its slot."""


HASH, COUNT, START, SIZE = range(4)


def make(entries: int, arena_bytes: int) -> Tally:
    """An empty table for `entries` entries with `arena_bytes` bytes. Unused memory is never taken from the system."""
    bits = (SPREAD * max(entries, 8) - 1).bit_length()
    return Tally(
        slots=np.zeros(1 << bits, dtype=np.uint64),
        entries=np.empty((entries, 4), dtype=np.int64),
        arena=np.empty(arena_bytes + PADDING_BYTES, dtype=np.uint8),
        used=np.array([0, 64 - bits], dtype=np.int64),
    )


def grown(tally: Tally, entries: int, arena_bytes: int) -> Tally:
    """A copy of the table with room for `entries` entries with `arena_bytes` bytes."""
    made = make(entries, arena_bytes)
    count = made.used[0] = tally.used[0]
    made.entries[:count] = tally.entries[:count]
    size = arena_used(tally)
    made.arena[:size] = tally.arena[:size]
    _place(made)
    return made


@leaf
def add(tally: Tally, data: Bytes, begin: int, ends: Places, first: int, stop: int, weights: Places) -> int:
    """Count the pieces `first` to `stop - 1` of `data`: piece i ends at ends[i], and the first one starts at `begin`.

    Piece i counts weights[i] times, or once if `weights` is empty. Returns the piece for which no room was left, or `stop`.
    """
    weighted = len(weights) > 0
    for piece in range(first, stop):
        end = ends[piece]
        entry = find_or_add(tally, data, begin, end)
        if entry < 0:
            return piece
        tally.entries[entry, COUNT] += weights[piece] if weighted else 1
        begin = end
    return stop


@inlined
def find_or_add(tally: Tally, data: Bytes, begin: int, end: int) -> Integer:
    """The entry of `data[begin:end]`, added with a count of 0 if it is new; -1 if there is no room to add it."""
    slots, entries, arena, used = tally
    mask, size = np.uint64(len(slots) - 1), end - begin
    key = hash_bytes(data, begin, end)
    tag = key << _INDEX_BITS
    slot = key >> np.uint64(used[1])
    while True:
        held = slots[slot]
        if held == 0:
            break
        if (held ^ tag) >> _INDEX_BITS == 0:
            entry = np.int64(held & _INDEX) - 1
            # For pieces of equal size up to 8 bytes the hash is a bijection.
            if (
                entries[entry, HASH] == np.int64(key)
                and entries[entry, SIZE] == size
                and (size <= 8 or _same(data, begin, arena, entries[entry, START], size))
            ):
                return entry
        slot = (slot + np.uint64(1)) & mask
    to = arena_used(tally)
    entry = used[0]
    if entry == len(entries) or to + size + PADDING_BYTES > len(arena):
        return -1
    slots[slot] = tag | np.uint64(entry + 1)
    entries[entry, HASH] = np.int64(key)
    entries[entry, COUNT] = 0
    entries[entry, START] = to
    entries[entry, SIZE] = size
    for at in range(size):
        arena[to + at] = data[begin + at]
    used[0] = entry + 1
    return np.int64(entry)


@leaf
def in_slot_order(tally: Tally, order: Places) -> None:
    """order[:used] = the entries in the order of their slots: nearly by hash, so two tables are merged in one sweep."""
    at = 0
    for held in tally.slots:
        if held:
            order[at] = np.int64(held & _INDEX) - 1
            at += 1


@leaf
def gather(tally: Tally, order: Places, data: Bytes) -> None:
    """Write the bytes of the entries `order` to `data`, end to end."""
    to = 0
    for entry in order:
        start = tally.entries[entry, START]
        for at in range(start, start + tally.entries[entry, SIZE]):
            data[to] = tally.arena[at]
            to += 1


@leaf
def arena_used(tally: Tally) -> Integer:
    """The number of bytes in all entries."""
    last = tally.used[0] - 1
    return 0 if last < 0 else tally.entries[last, START] + tally.entries[last, SIZE]


@leaf
def _place(tally: Tally) -> None:
    """Enter all entries into the slots, which must be empty."""
    shift, mask = np.uint64(tally.used[1]), np.uint64(len(tally.slots) - 1)
    for entry in range(tally.used[0]):
        key = np.uint64(tally.entries[entry, HASH])
        slot = key >> shift
        while tally.slots[slot]:
            slot = (slot + np.uint64(1)) & mask
        tally.slots[slot] = key << _INDEX_BITS | np.uint64(entry + 1)


@inlined
def _same(data: Bytes, begin: int, arena: Bytes, start: Integer, size: int) -> bool:
    """Whether `size` bytes are equal. The arena has padding; `data` may have none, so its last bytes are compared singly."""
    at = 0
    while at + 8 <= size:
        if load(data, np.uint64(begin + at)) != load(arena, np.uint64(start + at)):
            return False
        at += 8
    while at < size:
        if data[begin + at] != arena[start + at]:
            return False
        at += 1
    return True
