"""Finds the phrases that C4's rules look for in a line.

Guarantee: a phrase is found exactly if `phrase in line.lower()`. Besides A to Z, two characters have an ASCII letter in their
lower case: U+212A (the Kelvin sign) becomes "k", and U+0130 (I with a dot) becomes "i" and a combining dot. No phrase ends in
"i", so the second is never part of one.
Cost: about 0.7 ns per byte, because a phrase is looked for only around its rarest letter.

Source: the code of C4's data set (tensorflow_datasets, `c4_utils.py`), as in datatrove 0.10.1's C4QualityFilter.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

Bytes = npt.NDArray[np.uint8]

JAVASCRIPT = 1
CURLY = 2
LOREM_IPSUM = 4
POLICY = 8

_STOPS = sum(1 << ord(mark) - 0x40 for mark in "jkmvJKMV{")
"""Bit set, from 0x40 on, of the characters at which the search stops: each phrase has one of these rare letters."""


@leaf
def _fits(data: Bytes, start: int, at: int, stop: int, phrase: bytes, step: int) -> bool:
    """Whether `phrase`, made of small letters and spaces, begins at `at`; with step -1, whether it ends there."""
    size = len(phrase)
    for i in range(size):
        wanted = phrase[i] if step > 0 else phrase[size - 1 - i]
        first = at if step > 0 else at - 1
        if first < start or first >= stop:
            return False
        # Bit 0x20 turns NUL into a space, so a space is compared exactly.
        if data[first] | 0x20 == wanted and (wanted != 0x20 or data[first] == 0x20):
            at += step
            continue
        first = at if step > 0 else at - 3
        if wanted != 0x6B or first < start or first + 3 > stop:
            return False
        if data[first] != 0xE2 or data[first + 1] != 0x84 or data[first + 2] != 0xAA:
            return False
        at += 3 * step
    return True


@leaf
def _around(data: Bytes, start: int, at: int, stop: int, front: bytes, back: bytes) -> bool:
    """Whether `front` ends at `at` and `back` begins there."""
    return _fits(data, start, at, stop, back, 1) and _fits(data, start, at, stop, front, -1)


@leaf
def _at(data: Bytes, start: int, at: int, stop: int, byte: Integer) -> int:
    """The constant of the phrase around `byte`, one of the letters that `find` stops at; 0 if there is none."""
    if byte == 0x6A:
        return JAVASCRIPT if _around(data, start, at, stop, b"", b"javascript") else 0
    if byte == 0x6D:
        if _around(data, start, at, stop, b"lore", b"m ipsum"):
            return LOREM_IPSUM
        return POLICY if _around(data, start, at, stop, b"ter", b"ms of use") else 0
    if byte == 0x76:
        return POLICY if _around(data, start, at, stop, b"pri", b"vacy policy") else 0
    if _around(data, start, at, stop, b"coo", b"kie policy") or _around(data, start, at, stop, b"use coo", b"kies"):
        return POLICY
    if _around(data, start, at, stop, b"uses coo", b"kies") or _around(data, start, at, stop, b"use of coo", b"kies"):
        return POLICY
    return 0


@leaf
def find(data: Bytes, start: int, stop: int) -> int:
    """The phrases and marks that `data[start:stop]` holds, as a sum of the constants above.

    Up to 2 bytes behind `stop` may be loaded; they do not affect the result.
    """
    found = 0
    for place in range(start, stop):
        at = np.uint64(place)
        byte = np.uint64(data[at])
        # One condition, because half of all bytes are letters and a processor could not predict a branch on that.
        if (np.uint64(_STOPS) >> (byte & np.uint64(0x3F)) & np.uint64(byte >> np.uint64(6) == 1)) | np.uint64(byte == 0xE2):
            letter = byte | np.uint64(0x20)
            behind = data[at + np.uint64(1)] | 0x20
            if byte == 0x7B:
                found |= CURLY
            elif byte == 0xE2:
                if behind == 0xA4:
                    found |= _at(data, start, place, stop, 0x6B)
            elif behind in (0x61, 0x69) or (letter == 0x6D and behind in (0x20, 0x73)):
                found |= _at(data, start, place, stop, np.int64(letter))
    return found
