"""64-bit hashes of integers and of words.

Guarantee: the same bytes give the same hash on every machine and in every process. Words of up to 8 bytes never collide
with one another; longer ones do by accident with odds of 2^-64 a pair. Nothing here is keyed: it resists accident, not
an adversary.
Cost: about 1 ns per byte.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit


@njit(nogil=True, cache=True, inline="always")
def mix64(value: np.uint64) -> np.uint64:
    """The finalizer of MurmurHash3 (A. Appleby, `fmix64`): a bijection in which every bit depends on all."""
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@njit(nogil=True, cache=True)
def hash_bytes(data: npt.NDArray[np.uint8], start: int, stop: int) -> np.uint64:
    """Hash of `data[start:stop]`: 8 bytes at a time, little end first, are taken into the state, which is mixed."""
    state = np.uint64(0)
    chunk = np.uint64(0)
    shift = np.uint64(0)
    for at in range(start, stop):
        chunk |= np.uint64(data[at]) << shift
        shift += np.uint64(8)
        if shift == np.uint64(64):
            state = mix64(state ^ chunk)
            chunk = np.uint64(0)
            shift = np.uint64(0)
    if shift:
        state = mix64(state ^ chunk)
    return state
