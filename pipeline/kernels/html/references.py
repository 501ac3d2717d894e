"""References to characters in HTML (`&amp;`, `&#8364;`), resolved as `html.unescape` does.

Source: the names and the invalid numbers are those of the HTML standard, as Python's `html` has them.
Cost: 2,231 names in 150 kB.
"""

from __future__ import annotations

import functools
import html
from html.entities import html5
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html.names import BASIS, PRIME, name_hash
from tokenmill.pipeline.kernels.html.values import Bytes
from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

SLOTS = 1 << 13
LONGEST = 32
"""Characters of a name, its semicolon included, that `html.unescape` looks at."""
FIRST_C1, LAST_C1 = 0x80, 0x9F
REPLACEMENT = 0xFFFD
NOT_ONE = -1
"""No reference: the ampersand stands for itself."""
EMPTY = -2
"""A number that stands for nothing."""


class References(NamedTuple):
    """hashes: uint64 [SLOTS], of names, 0 where there is none. values: int64 [SLOTS, 2], one or two code points (0: one only).
    c1: int64 [32], what the numbers 0x80 to 0x9F stand for. special: bool [256], bytes that are more than a part of a text:
    ampersands, white space, NUL, and those with which characters without a width begin.
    """

    hashes: npt.NDArray[np.uint64]
    values: npt.NDArray[np.int64]
    c1: npt.NDArray[np.int64]
    special: npt.NDArray[np.bool_]


@functools.cache
def references() -> References:
    """The tables, made once for each process."""
    hashes, values = np.zeros(SLOTS, np.uint64), np.zeros((SLOTS, 2), np.int64)
    for name, text in html5.items():
        slot = name_hash(name) % SLOTS
        while hashes[slot]:
            slot = (slot + 1) % SLOTS
        hashes[slot] = name_hash(name)
        values[slot, : len(text)] = [ord(character) for character in text]
    c1 = np.array([ord(html.unescape(f"&#{code};")) for code in range(FIRST_C1, LAST_C1 + 1)], np.int64)
    special = np.zeros(256, np.bool_)
    special[[*b"\0&\t\n\f\r ", 0xC2, 0xE2, 0xEF]] = True
    made = References(hashes, values, c1, special)
    for array in made:
        array.flags.writeable = False
    return made


@leaf
def resolve(page: Bytes, at: int, stop: int, tables: References) -> tuple[int, Integer, Integer]:
    """The reference at the ampersand `at`: where it ends, its code point, and a second one or 0.

    The code point is `NOT_ONE` or `EMPTY` where there is none.
    """
    first = at + 1
    if first < stop and page[first] == 0x23:
        return _number(page, first + 1, stop, tables)
    name = np.uint64(BASIS)
    end, code, second = at + 1, np.int64(NOT_ONE), np.int64(0)
    at = first
    while at < stop and at < first + LONGEST:
        byte = page[at]
        if byte == 0x09 or byte == 0x0A or byte == 0x0C or byte == 0x20 or byte == 0x3C or byte == 0x26 or byte == 0x23:
            break
        name = (name ^ np.uint64(byte)) * np.uint64(PRIME)
        at += 1
        if at - first >= 2:
            slot = np.int64(name & np.uint64(SLOTS - 1))
            while tables.hashes[slot] != 0:
                if tables.hashes[slot] == name:
                    end, code, second = at, tables.values[slot, 0], tables.values[slot, 1]
                    break
                slot = (slot + 1) & (SLOTS - 1)
        if byte == 0x3B:
            break
    return end, code, second


@leaf
def _number(page: Bytes, at: int, stop: int, tables: References) -> tuple[int, Integer, Integer]:
    begin = at - 1
    base = np.int64(10)
    if at < stop and page[at] | 0x20 == 0x78:
        base = np.int64(16)
        at += 1
    number, digits = np.int64(0), 0
    while at < stop:
        digit = np.int64(page[at]) - 0x30
        if digit > 9 and base == 16:
            digit = np.int64(page[at] | 0x20) - 0x57
            if digit < 10:
                break
        if digit < 0 or digit >= base:
            break
        number = min(number * base + digit, np.int64(0x110000))
        digits += 1
        at += 1
    if digits == 0:
        return begin, NOT_ONE, 0
    if at < stop and page[at] == 0x3B:
        at += 1
    if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return at, REPLACEMENT, 0
    if number == 0x0D:
        return at, number, 0
    if FIRST_C1 <= number <= LAST_C1:
        return at, tables.c1[number - FIRST_C1], 0
    control = number < 0x20 and number != 0x09 and number != 0x0A and number != 0x0C
    if control or number == 0x7F or 0xFDD0 <= number <= 0xFDEF or number & 0xFFFE == 0xFFFE:
        return at, EMPTY, 0
    return at, number, 0
