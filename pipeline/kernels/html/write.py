"""Writes the text of blocks: references resolved, white space as CSS has it, line breaks kept.

Guarantee: every character of the segments is written, but for white space that CSS collapses and NUL, which HTML drops.
Cost: about 2 ns a byte of text.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import attributes as a
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.attributes import Bytes
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.raw import starts
from tokenmill.pipeline.kernels.html.references import EMPTY, References, resolve
from tokenmill.pipeline.kernels.leaf import leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer

MARKED = n.CODE | n.SUB | n.SUP
MARK_BYTES = 16
"""Most bytes that a segment may take beyond its own: marks around it, line breaks, the signs around TeX."""
PENDING_SPACE, LINES, WRITTEN, MARKS = range(4)
STATE = 4


@leaf
def most_bytes(found: Scanned, kept: npt.NDArray[np.bool_]) -> Integer:
    """An upper bound of what `write` writes. The longest text for a reference is of 6 bytes, for one of 5 (`&nGt;`)."""
    total = np.int64(MARK_BYTES)
    for row in range(len(found.segments)):
        if kept[found.segments[row, c.OF_BLOCK]]:
            size = np.int64(found.segments[row, c.STOP] - found.segments[row, c.START])
            total += size + (size >> 2) + MARK_BYTES
    return total


@leaf
def write(
    page: Bytes,
    found: Scanned,
    kept: npt.NDArray[np.bool_],
    tables: References,
    markdown: bool,
    state: npt.NDArray[np.int64],
    out: Bytes,
    offsets: npt.NDArray[np.int64],
) -> None:
    """Write block i to out[offsets[i]:offsets[i + 1]]; nothing for one that is not kept.

    markdown: mark code, subscripts and superscripts. state: int64 [STATE], scratch.
    """
    at = 0
    for block in range(len(found.blocks)):
        offsets[block] = at
        if not kept[block]:
            continue
        state[:] = 0
        begin = at
        for row in range(found.blocks[block, c.FIRST], found.blocks[block, c.END]):
            segment = found.segments[row]
            kind = segment[c.KIND]
            if kind == c.NOTHING:
                continue
            flags = found.elements[segment[c.OWNER], c.FLAGS]
            preformatted = flags & n.PRE != 0
            if kind == c.BREAK:
                state[LINES] += 1
                state[PENDING_SPACE] = 0
                continue
            if kind == c.TEX or kind == c.TEX_DISPLAY:
                at = _tex(page, segment[c.START], segment[c.STOP], kind == c.TEX_DISPLAY, tables, state, out, at)
                continue
            if flags & n.LINK and _is_invisible(page, segment[c.START], segment[c.STOP]):
                continue
            marks = flags & MARKED if markdown and not preformatted else 0
            at = _segment(page, segment[c.START], segment[c.STOP], kind == c.TEXT, preformatted, marks, tables, state, out, at)
        at = _close_marks(state, out, at)
        if at == begin:
            continue
    offsets[len(found.blocks)] = at


@leaf
def _is_invisible(page: Bytes, start: int, stop: int) -> bool:
    """Whether this is a zero width space alone, as links beside headings have it (also as a reference)."""
    while start < stop and a.is_space(page[start]):
        start += 1
    while stop > start and a.is_space(page[stop - 1]):
        stop -= 1
    size = stop - start
    return (size == 3 and starts(page, start, b"\xe2\x80\x8b")) or (size == 7 and starts(page, start, b"&#8203;"))


@leaf
def _segment(
    page: Bytes,
    start: int,
    stop: int,
    references: bool,
    preformatted: bool,
    marks: int,
    tables: References,
    state: npt.NDArray[np.int64],
    out: Bytes,
    at: int,
) -> int:
    i = start
    while i < stop:
        byte = page[i]
        i += 1
        if byte == 0x26 and references:
            end, code, second = resolve(page, i - 1, stop, tables)
            if code != -1:
                i = end
                if code == EMPTY:
                    continue
                if (code < 0x80 and a.is_space(code)) or code == 0x0D:
                    byte = np.uint8(code)
                else:
                    at = _before(state, marks, out, at)
                    at = _character(code, out, at)
                    if second:
                        at = _character(second, out, at)
                    continue
        if byte == 0:
            continue
        if not a.is_space(byte):
            at = _before(state, marks, out, at)
            out[at] = byte
            at += 1
        elif not preformatted:
            state[PENDING_SPACE] = 1
        else:
            if byte == 0x0D:
                byte = np.uint8(0x0A)
                if i < stop and page[i] == 0x0A:
                    i += 1
            at = _before(state, 0, out, at)
            out[at] = byte
            at += 1
    return at


@leaf
def _before(state: npt.NDArray[np.int64], marks: int, out: Bytes, at: int) -> int:
    """White space that has to stand before the next character, and marks that end or begin here."""
    if state[MARKS] != marks:
        at = _close_marks(state, out, at)
    if state[LINES]:
        if state[WRITTEN]:
            for _ in range(state[LINES]):
                out[at] = 0x0A
                at += 1
    elif state[PENDING_SPACE] and state[WRITTEN]:
        out[at] = 0x20
        at += 1
    state[LINES] = state[PENDING_SPACE] = 0
    state[WRITTEN] = 1
    if marks & n.CODE and not state[MARKS] & n.CODE:
        at = _put(b"`", out, at)
    if marks & n.SUB and not state[MARKS] & n.SUB:
        at = _put(b"<sub>", out, at)
    if marks & n.SUP and not state[MARKS] & n.SUP:
        at = _put(b"<sup>", out, at)
    state[MARKS] = marks
    return at


@leaf
def _close_marks(state: npt.NDArray[np.int64], out: Bytes, at: int) -> int:
    marks = state[MARKS]
    if marks & n.SUP:
        at = _put(b"</sup>", out, at)
    if marks & n.SUB:
        at = _put(b"</sub>", out, at)
    if marks & n.CODE:
        at = _put(b"`", out, at)
    state[MARKS] = 0
    return at


@leaf
def _tex(
    page: Bytes, start: int, stop: int, display: bool, tables: References, state: npt.NDArray[np.int64], out: Bytes, at: int
) -> int:
    while start < stop and a.is_space(page[start]):
        start += 1
    while stop > start and a.is_space(page[stop - 1]):
        stop -= 1
    if start == stop:
        return at
    at = _before(state, 0, out, at)
    at = _put(b"$$" if display else b"$", out, at)
    at = _segment(page, start, stop, True, True, 0, tables, state, out, at)
    return _put(b"$$" if display else b"$", out, at)


@leaf
def _put(text: bytes, out: Bytes, at: int) -> int:
    for i in range(len(text)):
        out[at + i] = text[i]
    return at + len(text)


@leaf
def _character(code: Integer, out: Bytes, at: int) -> int:
    """The UTF-8 of a code point."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at] = 0xC0 | code >> 6
        out[at + 1] = 0x80 | code & 0x3F
        return at + 2
    if code < 0x10000:
        out[at] = 0xE0 | code >> 12
        out[at + 1] = 0x80 | code >> 6 & 0x3F
        out[at + 2] = 0x80 | code & 0x3F
        return at + 3
    out[at] = 0xF0 | code >> 18
    out[at + 1] = 0x80 | code >> 12 & 0x3F
    out[at + 2] = 0x80 | code >> 6 & 0x3F
    out[at + 3] = 0x80 | code & 0x3F
    return at + 4
