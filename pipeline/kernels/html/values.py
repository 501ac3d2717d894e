"""Values of attributes: words in class names, hashes, and whether a value holds another.

Guarantee: the work is linear in the value.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

Bytes = npt.NDArray[np.uint8]


@inlined
def is_space(byte: Integer) -> bool:
    """Tab, line feed, form feed, carriage return, space."""
    return byte == 0x20 or byte == 0x0A or byte == 0x09 or byte == 0x0D or byte == 0x0C


@inlined
def lower(byte: int) -> int:
    """The byte of a small letter for that of a capital, others as they are."""
    return byte + 0x20 if 0x41 <= byte <= 0x5A else byte


@leaf
def trimmed(page: Bytes, start: int, stop: int) -> tuple[int, int]:
    """The place of a text without white space around it."""
    while start < stop and is_space(page[start]):
        start += 1
    while stop > start and is_space(page[stop - 1]):
        stop -= 1
    return start, stop


@leaf
def starts(page: Bytes, at: int, wanted: bytes) -> bool:
    """Whether `wanted`, in lower case, stands at `at`, in any case."""
    if at + len(wanted) > len(page):
        return False
    for i in range(len(wanted)):  # noqa: SIM110 -- `all` of a generator does not compile
        if lower(page[at + i]) != wanted[i]:
            return False
    return True


@leaf
def holds(page: Bytes, start: int, stop: int, wanted: bytes) -> bool:
    """Whether the value holds `wanted`, in any case and without regard to blanks in it."""
    size = len(wanted)
    for first in range(start, stop):
        if page[first] | 0x20 != wanted[0]:
            continue
        at, matched = first, 0
        while at < stop and at < first + 4 * size and matched < size:
            if lower(page[at]) == wanted[matched]:
                matched += 1
            elif page[at] != 0x20:
                break
            at += 1
        if matched == size:
            return True
    return False


@leaf
def value_hash(page: Bytes, start: int, stop: int) -> np.uint64:
    """FNV-1a of a value in lower case."""
    value = np.uint64(n.BASIS)
    for at in range(start, stop):
        value = (value ^ np.uint64(lower(page[at]))) * np.uint64(n.PRIME)
    return value


@inlined
def keywords_of(page: Bytes, names: n.Names, start: int, stop: int) -> tuple[np.uint64, np.uint64]:
    """The keywords in a value, and its `value_hash`."""
    state = np.int64(0)
    found = np.uint64(0)
    value = np.uint64(n.BASIS)
    for at in range(start, stop):
        byte = page[at]
        value = (value ^ np.uint64(lower(byte))) * np.uint64(n.PRIME)
        state = np.int64(names.moves[state, names.letters[byte]])
        found |= names.found[state]
    return found, value


@leaf
def tex_flags(page: Bytes, start: int, stop: int) -> int:
    """Whether a type or an encoding is that of TeX."""
    if holds(page, start, stop, b"math/tex") or holds(page, start, stop, b"application/x-tex"):
        return n.TEX | n.DISPLAY_TEX if holds(page, start, stop, b"mode=display") else n.TEX
    return 0
