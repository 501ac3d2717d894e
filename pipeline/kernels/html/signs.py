"""Signs that a page shows beside its text, and characters that nobody sees: they are left out of main text.

Purpose: `¶` and `#` behind headings, which link to themselves; numbers of lines in code; zero width spaces, soft hyphens and
byte order marks in words. Zero width joiners and non-joiners stay, as Persian, Hindi and emoji need them. So do zero width
spaces between words of Thai, Lao, Tibetan, Burmese and Khmer, which are written without other spaces, and marks of direction.
Cost: a tag is looked at for each link with a sign alone, and for each piece of code with digits alone.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.attributes import find
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.values import Bytes, holds, starts, trimmed
from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

(A,) = n.ids("a")
SOFT_HYPHEN, ZERO_WIDTH_SPACE, WORD_JOINER, BYTE_ORDER_MARK = 0xAD, 0x200B, 0x2060, 0xFEFF
SIGNS = (
    b"#",
    b"\xc2\xb6",
    b"\xc2\xa7",
    b"\xf0\x9f\x94\x97",
    b"\xef\x83\x81",
    b"\xe2\x80\x8b",
    b"&para;",
    b"&sect;",
    b"&#8203;",
)
"""`#`, U+00B6, U+00A7, the picture of a chain, the same in the icon font of Read the Docs, and a zero width space."""
MOST_DIGITS = 8
NUMBERED = (b"lineno", b"linenum", b"line-num", b"line_num", b"gutter")
"""In the class of what holds the number of a line; so is the whole class `ln` or `lnt`."""


@leaf
def left_out(page: Bytes, found: Scanned, row: int) -> bool:
    """Whether segment `row` is the sign of a link to where it stands, or the number of a line of code."""
    segment = found.segments[row]
    start, stop = trimmed(page, segment[c.START], segment[c.STOP])
    owner = np.int64(segment[c.OWNER])
    flags = found.elements[owner, c.FLAGS]
    size = stop - start
    if flags & n.LINK and 0 < size <= MOST_DIGITS and _is_sign(page, start, size):
        link = found.elements[owner, c.TAG] == A and found.elements[owner, c.FIRST_SEGMENT] == row
        if link and not _has_more(found, row, owner):
            start, stop = find(page, found.elements[owner, c.BEGIN], n.HREF)
            return bool(start < stop and page[start] == 0x23)
        return False
    return flags & n.PRE != 0 and 0 < size <= MOST_DIGITS and _is_number(page, found, start, stop, owner)


@leaf
def _is_sign(page: Bytes, start: int, size: int) -> bool:
    for sign in SIGNS:  # noqa: SIM110 -- `any` of a generator does not compile
        if len(sign) == size and starts(page, start, sign):
            return True
    return False


@leaf
def _has_more(found: Scanned, row: int, link: Integer) -> bool:
    """Whether the segment after `row` is inside the link too."""
    if row + 1 >= len(found.segments) or found.segments[row + 1, c.OF_BLOCK] != found.segments[row, c.OF_BLOCK]:
        return False
    at = np.int64(found.segments[row + 1, c.OWNER])
    while at > link:
        at = np.int64(found.elements[at, c.PARENT])
    return bool(at == link)


@leaf
def _is_number(page: Bytes, found: Scanned, start: int, stop: int, owner: Integer) -> bool:
    for at in range(start, stop):
        if not 0x30 <= page[at] <= 0x39:
            return False
    first, end = find(page, found.elements[owner, c.BEGIN], n.CLASS)
    size = end - first
    if (size == 2 or size == 3) and starts(page, first, b"ln"):
        return bool(size == 2 or starts(page, first, b"lnt"))
    for word in NUMBERED:  # noqa: SIM110 -- the same
        if holds(page, first, end, word):
            return True
    return False


@leaf
def has_no_width(code: Integer, out: Bytes, at: int) -> bool:
    """Whether the character `code` is left out of a text that is written up to out[at]."""
    if code != SOFT_HYPHEN and code != ZERO_WIDTH_SPACE and code != WORD_JOINER and code != BYTE_ORDER_MARK:
        return False
    if code == ZERO_WIDTH_SPACE and at >= 3:
        lead, second = out[at - 3], out[at - 2]
        # U+0E00 to U+0FFF, U+1000 to U+109F, U+1780 to U+17FF.
        return not ((lead == 0xE0 and second >= 0xB8) or (lead == 0xE1 and (second <= 0x82 or 0x9E <= second <= 0x9F)))
    return True
