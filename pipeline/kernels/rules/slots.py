"""An open-addressing table from each key to the first item that has it, reused for text after text without clearing.

Purpose: counting repetitions needs a table per text and kind of item, hundreds of thousands of times.
Guarantee: an item of an earlier use is never found: a slot holds the number of an item, and numbers continue from use to use.
Before the numbers exceed 31 bits, the table is cleared and they begin again.
Cost: 4 bytes per slot and 4 to 8 slots per item; a use touches only the slots that its items need; about 3 ns per item in the
cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined

_GOLDEN = 0x9E3779B97F4A7C15
_LAST_NUMBER = (1 << 31) - 1
SPREAD = 4
"""The least number of slots per item. Most items are new, and then the first slot that is tried should be free."""


class Slots(NamedTuple):
    """The table, and the number that the first item of the next use gets."""

    items: npt.NDArray[np.int32]
    next: npt.NDArray[np.int64]


def make(most_items: int) -> Slots:
    """Make a table for uses of up to `most_items` items. Memory that no use touches is never taken from the system."""
    return Slots(items=np.zeros(1 << _bits(most_items), dtype=np.int32), next=np.ones(1, dtype=np.int64))


def _bits(items: int) -> int:
    return max(4, (SPREAD * items - 1).bit_length())


@inlined
def begin(slots: Slots, items: int) -> tuple[int, np.uint64]:
    """Begin a use for up to `items` items; returns its first number and the shift by which keys become slots."""
    first = slots.next[0]
    if first + items > _LAST_NUMBER:
        slots.items[:] = 0
        first = 1
    slots.next[0] = first + items
    bits = 4
    while 1 << bits < SPREAD * items:
        bits += 1
    return first, np.uint64(64 - bits)


@inlined
def place(key: np.uint64, shift: np.uint64) -> np.uint64:
    """The slot to try first. Keys need not be mixed: the multiplication by 2^64 / golden ratio spreads them."""
    return (key * np.uint64(_GOLDEN)) >> shift


@inlined
def following(slot: np.uint64, shift: np.uint64) -> np.uint64:
    """The slot to try after `slot`."""
    return (slot + np.uint64(1)) & (np.uint64(0xFFFFFFFFFFFFFFFF) >> shift)


@inlined
def first_with(slots: Slots, first: int, shift: np.uint64, keys: npt.NDArray[np.uint64], item: int) -> int:
    """The first item of this use with the key `keys[item]`: an earlier item, or `item` itself, which is then added."""
    key = keys[np.uint64(item)]
    at = place(key, shift)
    while True:
        found = int(slots.items[at]) - first
        if found < 0:
            slots.items[at] = first + item
            return item
        if keys[np.uint64(found)] == key:
            return found
        at = following(at, shift)
