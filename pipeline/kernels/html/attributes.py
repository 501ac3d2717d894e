"""Attributes of a tag, as the tokenizer of the HTML standard reads them (sections 13.2.5.32 to 13.2.5.40).

Guarantee: each byte is read once, or twice if it is in the value of one of ten attributes; so the work is linear, also for a
million attributes in a tag or one of 30 MB.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

Bytes = npt.NDArray[np.uint8]

DISPLAY_TEX = 1 << 29
"""The script is a formula in a line of its own."""
TEX = 1 << 28
"""The content is TeX: of `script type="math/tex"`, or of `annotation encoding="application/x-tex"`."""
MATHJAX = 1 << 27
"""The element shows a formula whose TeX stands in a script behind it."""
KATEX = 1 << 26
"""The element shows a formula whose TeX stands in an annotation before it."""


@leaf
def is_space(byte: Integer) -> bool:
    """Tab, line feed, form feed, carriage return, space."""
    return byte == 0x20 or byte == 0x0A or byte == 0x09 or byte == 0x0D or byte == 0x0C


@leaf
def lower(byte: int) -> int:
    """The byte of a small letter for that of a capital, others as they are."""
    return byte + 0x20 if 0x41 <= byte <= 0x5A else byte


@leaf
def holds(page: Bytes, start: int, stop: int, wanted: bytes) -> bool:
    """Whether the value holds `wanted`, in any case and without regard to blanks in it."""
    size = len(wanted)
    for first in range(start, stop):
        if lower(page[first]) != wanted[0]:
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


@leaf
def _keywords(page: Bytes, names: n.Names, start: int, stop: int) -> np.uint64:
    state = np.int64(0)
    found = np.uint64(0)
    for at in range(start, stop):
        letter = np.int64(page[at] | 0x20) - 0x61
        state = np.int64(names.moves[state, letter if 0 <= letter < 26 else 26])
        found |= names.found[state]
    return found


@leaf
def _find(names: n.Names, wanted: np.uint64) -> Integer:
    slot = np.int64(wanted & np.uint64(n.SLOTS - 1))
    while names.hashes[slot] != 0:
        if names.hashes[slot] == wanted:
            return np.int64(names.values[slot])
        slot = (slot + 1) & (n.SLOTS - 1)
    return 0


@leaf
def tag_id(names: n.Names, name: np.uint64) -> Integer:
    """The id of a tag, by the hash of its name."""
    found = _find(names, name)
    return found if found > 0 else n.UNKNOWN + np.int64(name >> np.uint64(40)) % (n.IDS - n.UNKNOWN)


@leaf
def _role(names: n.Names, value: np.uint64) -> Integer:
    found = _find(names, value)
    return names.flags[found] & ~n.GONE if found > 0 else -found


@leaf
def _tex(page: Bytes, start: int, stop: int) -> int:
    if holds(page, start, stop, b"math/tex") or holds(page, start, stop, b"application/x-tex"):
        return TEX | DISPLAY_TEX if holds(page, start, stop, b"mode=display") else TEX
    return 0


@leaf
def read(page: Bytes, at: int, names: n.Names) -> tuple[int, Integer, np.uint64, np.uint64, bool]:
    """The attributes from `at` on, behind the name of a tag.

    Returns where the tag ends (behind ">"; -1 if it does not), flags, keywords, the hash of the class, whether it ends in "/>".
    """
    size = len(page)
    flags, keywords, style = np.int64(0), np.uint64(0), np.uint64(0)
    closed = False
    while True:
        while at < size and (is_space(page[at]) or page[at] == 0x2F):
            closed = page[at] == 0x2F
            at += 1
        if at >= size:
            return -1, flags, keywords, style, False
        if page[at] == 0x3E:
            return at + 1, flags, keywords, style, closed
        closed = False
        name = np.uint64(n.BASIS)
        first = at
        while at < size:
            byte = page[at]
            if is_space(byte) or byte == 0x2F or byte == 0x3E or (byte == 0x3D and at > first):
                break
            name = (name ^ np.uint64(lower(byte))) * np.uint64(n.PRIME)
            at += 1
        after = at
        while after < size and is_space(page[after]):
            after += 1
        start = stop = after
        if after < size and page[after] == 0x3D:
            at = after + 1
            while at < size and is_space(page[at]):
                at += 1
            start = at
            if at < size and (page[at] == 0x22 or page[at] == 0x27):
                quote = page[at]
                start = at = at + 1
                while at < size and page[at] != quote:
                    at += 1
                if at >= size:
                    return -1, flags, keywords, style, False
                stop = at
                at += 1
            else:
                while at < size and not is_space(page[at]) and page[at] != 0x3E:
                    at += 1
                stop = at
        if name == n.HIDDEN_:
            flags |= n.HIDDEN
        elif start == stop:
            continue
        elif name == n.CLASS:
            style = value_hash(page, start, stop)
            keywords |= _keywords(page, names, start, stop)
            if holds(page, start, stop, b"mathjax"):
                flags |= MATHJAX
            elif holds(page, start, stop, b"katex-html"):
                flags |= KATEX
        elif name == n.ID_ or name == n.ITEMPROP or name == n.TESTID:
            keywords |= _keywords(page, names, start, stop)
        elif name == n.ROLE:
            keywords |= _keywords(page, names, start, stop)
            flags |= _role(names, value_hash(page, start, stop))
        elif name == n.STYLE:
            if holds(page, start, stop, b"display:none") or holds(page, start, stop, b"visibility:hidden"):
                flags |= n.HIDDEN
        elif name == n.ARIA_HIDDEN:
            if holds(page, start, stop, b"true"):
                flags |= n.HIDDEN
        elif name == n.TYPE or name == n.ENCODING:
            flags |= _tex(page, start, stop)
