"""Runs of digits in groups, and runs of hexadecimal groups between colons.

Purpose: a number that people write is groups of digits with one or two separators between them; an IPv6 address is groups of
hexadecimal digits with colons between them. Both are read as a whole, once.
Guarantee: one pass over the run; nothing outside the given bytes is read.
Cost: about 3 ns per byte of a run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined, leaf

Bytes = npt.NDArray[np.uint8]

LONG_GROUP_DIGITS = 7
"""A group of this many digits may be a number of its own."""
ADDRESS_NUMBERS = 4
_SEPARATORS = sum(1 << ord(mark) for mark in " -./()")
"""Bit set of the ASCII characters that may stand between groups of digits."""


@inlined
def digit_at(data: Bytes, at: int, stop: int) -> int:
    """The bytes of the decimal digit at `at`: ASCII, full-width, Arabic, Persian or Devanagari; 0 if none stands there."""
    byte = data[at]
    if byte < 0x80:
        return 1 if 0x30 <= byte <= 0x39 else 0
    if byte == 0xD9 and at + 1 < stop:
        return 2 if 0xA0 <= data[at + 1] <= 0xA9 else 0
    if byte == 0xDB and at + 1 < stop:
        return 2 if 0xB0 <= data[at + 1] <= 0xB9 else 0
    if byte == 0xE0 and at + 2 < stop:
        return 3 if data[at + 1] == 0xA5 and 0xA6 <= data[at + 2] <= 0xAF else 0
    if byte == 0xEF and at + 2 < stop:
        return 3 if data[at + 1] == 0xBC and 0x90 <= data[at + 2] <= 0x99 else 0
    return 0


@inlined
def separator_at(data: Bytes, at: int, stop: int) -> int:
    """The bytes of the separator at `at`: one of ` -./()`, U+00A0, U+2007, U+2009, U+2010 to U+2013, U+202F; 0 if none is."""
    byte = data[at]
    if byte < 0x40:
        return int(_SEPARATORS >> np.int64(byte) & 1)
    if byte == 0xC2 and at + 1 < stop:
        return 2 if data[at + 1] == 0xA0 else 0
    if byte == 0xE2 and at + 2 < stop and data[at + 1] == 0x80:
        last = data[at + 2]
        return 3 if last == 0x87 or last == 0x89 or 0x90 <= last <= 0x93 or last == 0xAF else 0
    return 0


@inlined
def _is_written(sizes: int) -> bool:
    """Whether the last groups, their digits in a byte each, are ones by which cards and identity numbers are written."""
    two, three = sizes & 0xFFFF, sizes & 0xFFFFFF
    if two == 0x0406 or two == 0x0604 or two == 0x0605:
        return True
    if three == 0x030204 or three == 0x040404 or three == 0x030303 or three == 0x030304:
        return True
    return three == 0x020202 or three == 0x040203 or three == 0x020303


@leaf
def digits(data: Bytes, at: int, stop: int) -> tuple[int, int, bool]:
    """Read the groups of digits from `at` on.

    Returns where they end, how many digits they have, and whether they may be a card, an identity number or an IPv4 address.
    """
    end, total, sizes, dotted, known = at, 0, 0, 0, False
    while True:
        size = 0
        width = digit_at(data, end, stop)
        while width > 0:
            size += 1
            end += width
            width = digit_at(data, end, stop) if end < stop else 0
        total += size
        sizes = (sizes << 8 | min(size, 0xFF)) & 0xFFFFFF
        dotted = dotted + 1 if size <= 3 else 0
        known = known or size >= LONG_GROUP_DIGITS or dotted >= ADDRESS_NUMBERS or _is_written(sizes)
        after = end
        for _ in range(2):
            after += separator_at(data, after, stop) if after < stop else 0
        if after == end or after >= stop or digit_at(data, after, stop) == 0:
            return end, total, known
        if after != end + 1 or data[end] != 0x2E:
            dotted = 0
        end = after


@leaf
def hexadecimal(data: Bytes, start: int, at: int, stop: int, classes: Bytes, marks: int) -> tuple[int, int, bool]:
    """The run of hexadecimal digits and colons around `at`, and dots behind it; it does not begin before `start`.

    `marks`: the class of those bytes. Returns where the run begins and ends, and whether it may be an IPv6 address: no word
    goes on beside it, it has a digit, and two colons in a row or six in all. A word before a colon, as in `ip:2001:db8::1`,
    is no part of it.
    """
    begin, end = at, at
    while begin > start and classes[data[begin - 1]] & marks:
        begin -= 1
    if begin > start and _goes_on(data[begin - 1]) and (at + 1 >= stop or data[at + 1] != 0x3A):
        begin = at = end = at + 1
    colons, double, digit = 0, False, False
    for place in range(begin, at):
        digit = digit or data[place] <= 0x39
    while end < stop and (classes[data[end]] & marks or data[end] == 0x2E):
        if data[end] == 0x3A:
            colons += 1
            double = double or (end + 1 < stop and data[end + 1] == 0x3A)
        elif 0x30 <= data[end] <= 0x39:
            digit = True
        end += 1
    alone = (begin == start or not _goes_on(data[begin - 1])) and (end == stop or not _goes_on(data[end]))
    return begin, end, alone and digit and (double or colons >= 6)


@inlined
def _goes_on(byte: int) -> bool:
    """Whether a byte is a letter or a digit."""
    return 0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x5A or 0x61 <= byte <= 0x7A
