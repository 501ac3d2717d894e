"""An open-addressing table from keys to the item that had the key first, used again for text after text without clearing.

Purpose: counting repetitions needs a table per text and kind of item, hundreds of thousands of times.
Guarantee: an item of an earlier use is never found: a slot holds the number of an item, and numbers go on from use to use;
before they leave 32 bits, the table is cleared and they begin again.
Cost: 4 bytes a slot and 4 to 8 slots per item, of which a use touches only those; about 3 ns per item in the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined

_GOLDEN = 0x9E3779B97F4A7C15
_LAST_NUMBER = (1 << 31) - 1
SPREAD = 4
"""Slots per item, at least: most items are new, and then the first slot that is asked should be free."""


class Slots(NamedTuple):
    """The table, and the number of the next use's first item."""

    items: npt.NDArray[np.int32]
    next: npt.NDArray[np.int64]


def make(most_items: int) -> Slots:
    """A table for uses of up to `most_items` items. Memory that no use touches is never taken from the system."""
    return Slots(items=np.zeros(1 << _bits(most_items), dtype=np.int32), next=np.ones(1, dtype=np.int64))


def _bits(items: int) -> int:
    return max(4, (SPREAD * items - 1).bit_length())


@inlined
def begin(slots: Slots, items: int) -> tuple[int, np.uint64]:
    """Begin a use for up to `items` items: its first number, and the shift that makes slots of keys."""
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
    """The slot that is asked first. Keys need not be mixed: the multiplication by 2^64 / golden ratio spreads them."""
    return (key * np.uint64(_GOLDEN)) >> shift


@inlined
def following(slot: np.uint64, shift: np.uint64) -> np.uint64:
    """The slot that is asked after `slot`."""
    return (slot + np.uint64(1)) & (np.uint64(0xFFFFFFFFFFFFFFFF) >> shift)


@inlined
def first_with(slots: Slots, first: int, shift: np.uint64, keys: npt.NDArray[np.uint64], item: int) -> int:
    """The first item of this use that has `keys[item]`: an earlier one, or `item` itself, which is then in the table."""
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
