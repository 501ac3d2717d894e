"""Writes the text of blocks: references resolved, white space as CSS has it, line breaks kept.

Guarantee: every character of the segments is written, but for white space that CSS collapses, NUL, which HTML drops, and what
`signs` leaves out.
Cost: about 1 ns a byte of text.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n
from tokenmill.pipeline.kernels.html.columns import Scanned
from tokenmill.pipeline.kernels.html.references import EMPTY, NOT_ONE, References, resolve
from tokenmill.pipeline.kernels.html.signs import has_no_width, left_out
from tokenmill.pipeline.kernels.html.values import Bytes, is_space, trimmed
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer, decode

MARKED = n.CODE | n.SUB | n.SUP
MARK_BYTES = 48
"""Most bytes that a segment may take beyond its own: marks that end before it and begin in it, a line break or a blank, the
signs around TeX."""
FAR = 64
"""Bytes of the longest segment that may be a sign or a number, white space included."""
PENDING_SPACE, LINES, WRITTEN, MARKS, CODE_AT = range(5)
STATE = 5


@leaf
def most_bytes(found: Scanned, chosen: npt.NDArray[np.int64]) -> Integer:
    """An upper bound of what `write` writes, tags between its segments included.

    The longest text for a reference is of 6 bytes, for one of 5 (`&nGt;`).
    """
    total = np.int64(MARK_BYTES)
    for block in chosen:
        first, end = found.blocks[block, c.FIRST], found.blocks[block, c.END]
        size = np.int64(found.segments[end - 1, c.STOP] - found.segments[first, c.START])
        total += size + (size >> 2) + MARK_BYTES * (end - first)
    return total


@leaf
def write(
    page: Bytes,
    found: Scanned,
    chosen: npt.NDArray[np.int64],
    tables: References,
    markdown: bool,
    whole: bool,
    state: npt.NDArray[np.int64],
    out: Bytes,
    offsets: npt.NDArray[np.int64],
) -> None:
    """Write block chosen[i] to out[offsets[i]:offsets[i + 1]].

    markdown: mark code, subscripts and superscripts. whole: write signs and characters, too, that `signs` leaves out. state:
    int64 [STATE], scratch.
    """
    at = 0
    for i in range(len(chosen)):
        block = chosen[i]
        offsets[i] = at
        state[:] = 0
        for row in range(found.blocks[block, c.FIRST], found.blocks[block, c.END]):
            segment = found.segments[row]
            kind, start, stop = int(segment[c.KIND]), int(segment[c.START]), int(segment[c.STOP])
            if kind == c.NOTHING:
                continue
            if kind == c.BREAK:
                state[LINES] += 1
                state[PENDING_SPACE] = 0
                continue
            if kind == c.TEX or kind == c.TEX_DISPLAY:
                at = _tex(page, start, stop, kind == c.TEX_DISPLAY, tables, whole, state, out, at)
                continue
            flags = int(found.elements[segment[c.OWNER], c.FLAGS])
            if not whole and flags & (n.LINK | n.PRE) and stop - start <= FAR and left_out(page, found, row):
                continue
            preformatted = flags & n.PRE != 0
            marks = flags & MARKED if markdown and not preformatted else 0
            at = _segment(page, start, stop, kind == c.TEXT, preformatted, marks, tables, whole, state, out, at)
        at = _close_marks(state, out, at)
    offsets[len(chosen)] = at


@inlined
def _segment(
    page: Bytes,
    start: int,
    stop: int,
    references: bool,
    preformatted: bool,
    marks: int,
    tables: References,
    whole: bool,
    state: npt.NDArray[np.int64],
    out: Bytes,
    at: int,
) -> int:
    i = start
    while i < stop:
        byte = page[i]
        if not tables.special[byte]:
            at = _before(state, marks, out, at)
            while i < stop and not tables.special[page[i]]:
                out[at] = page[i]
                at += 1
                i += 1
            continue
        end = i + 1
        code: Integer = np.int64(byte)
        second: Integer = 0
        if byte == 0x26:
            if references:
                end, code, second = resolve(page, i, stop, tables)
            if code == EMPTY:
                i = end
                continue
            if code == NOT_ONE:
                end, code = i + 1, np.int64(byte)
        elif byte >= 0x80:
            code, end = decode(page, i, stop)
        elif byte == 0:
            i = end
            continue
        space = code < 0x80 and is_space(code)
        if space and not preformatted:
            if state[MARKS] & ~marks:
                at = _close_marks(state, out, at)
            state[PENDING_SPACE] = 1
        elif space:
            if code == 0x0D and byte == 0x0D:
                code = np.int64(0x0A)
                end += end < stop and page[end] == 0x0A
            at = _before(state, 0, out, at)
            out[at] = 0x0A if code == 0x0D else code
            at += 1
        elif whole or not has_no_width(code, out, at if state[WRITTEN] else 0):
            at = _before(state, marks, out, at)
            if byte >= 0x80:
                # Its own bytes, which may be no character.
                for copied in range(i, end):
                    out[at] = page[copied]
                    at += 1
            else:
                at = _character(code, out, at)
                if second:
                    at = _character(second, out, at)
        i = end
    return at


@inlined
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
        state[CODE_AT] = at
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
        at = _close_code(int(state[CODE_AT]), out, at)
    state[MARKS] = 0
    return at


@leaf
def _close_code(begin: int, out: Bytes, at: int) -> int:
    """Code with a backtick in it stands between tags."""
    ticks = False
    for i in range(begin + 1, at):
        ticks |= out[i] == 0x60
    if not ticks:
        return _put(b"`", out, at)
    shift = len(b"<code>") - 1
    for i in range(at - 1, begin, -1):
        out[i + shift] = out[i]
    _put(b"<code>", out, begin)
    return _put(b"</code>", out, at + shift)


@leaf
def _tex(
    page: Bytes,
    start: int,
    stop: int,
    display: bool,
    tables: References,
    whole: bool,
    state: npt.NDArray[np.int64],
    out: Bytes,
    at: int,
) -> int:
    start, stop = trimmed(page, start, stop)
    if start == stop:
        return at
    at = _before(state, 0, out, at)
    at = _put(b"$$" if display else b"$", out, at)
    at = _segment(page, start, stop, True, True, 0, tables, whole, state, out, at)
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
