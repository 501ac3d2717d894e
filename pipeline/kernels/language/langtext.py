"""Prepares text for language identification: takes samples and lines, and says whether a text must be rewritten first.

Purpose: the language model reads text in Unicode's composed form (NFC), and in small letters if all of it is in capitals.
Nearly all text is in that form already; `inspect` finds this out in compiled code, and only the rest is rewritten by
`unicodedata`.
Guarantee: a PLAIN text, as `inspect` says, is in NFC and not all capitals; a NO_LETTER text has no `str.isalpha` character; a
REWRITE text may be one that rewriting does not change (tests compare with `unicodedata` on hostile text). Samples and lines
never cut a character.
Cost: about 0.3 ns per byte of ASCII, about 2 ns of other text. The tables are built once per process in about 0.1 s; 200 kB.

Sources: Unicode Standard Annex 15, section 9 (detecting normalisation forms): a text whose characters are allowed in NFC
and whose combining classes do not fall is in NFC, except for marks that could join the letter before them. Here such a mark
is allowed behind a letter that joins nothing, which spares most Tamil, Malayalam, Sinhala, Bengali and Burmese text.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels import kept
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.code_points import assigned, two_level
from tokenmill.pipeline.kernels.text.utf8 import decode

ALPHA = 1
UPPER = 2
"""A capital. `str.isupper` is true for a text that holds a capital and no SMALL."""
SMALL = 4
"""A small or title-case letter."""
SPACE = 8
OPEN = 16
"""A mark behind it may change it: it decomposes, or it is the first part of a composition."""
JOINS = 32
"""The second part of a composition: allowed in NFC unless it stands behind an OPEN character."""
FOREIGN = 64
"""Not allowed in NFC."""
CLASS_SHIFT = 8
"""The bits from here hold the canonical combining class."""

NO_LETTER = 0
PLAIN = 1
REWRITE = 2

PIECES = 5
NEWLINE = 0x0A
BLANK = 0x20


class CharacterTable(NamedTuple):
    """Two-level table over code points: `cells[pages[code >> 8] + (code & 255)]`."""

    pages: npt.NDArray[np.int64]
    """int64 [0x1100]: where the cells of each 256 code points begin."""
    cells: npt.NDArray[np.uint16]
    """uint16 [pages * 256]: the flags above, and the combining class."""


@functools.cache
def characters() -> CharacterTable:
    """The table of this interpreter's Unicode version."""
    return CharacterTable(*kept.arrays(_characters))


def _characters() -> CharacterTable:
    firsts, seconds = set(range(0x1100, 0x1113)), {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}  # Hangul letters
    cells = np.zeros(sys.maxunicode + 1, dtype=np.uint16)
    for code, character, _ in assigned():
        small = character.islower() or (character.istitle() and not character.isupper())
        flags = ALPHA * character.isalpha() | UPPER * character.isupper() | SMALL * small | SPACE * character.isspace()
        if not unicodedata.is_normalized("NFD", character):
            allowed = unicodedata.normalize("NFC", character) == character
            flags |= OPEN if allowed else FOREIGN
            parts = unicodedata.decomposition(character).split()
            if allowed and len(parts) == 2:
                firsts.add(int(parts[0], 16))
                seconds.add(int(parts[1], 16))
        cells[code] = unicodedata.combining(character) << CLASS_SHIFT | flags
    cells[sorted(firsts)] |= OPEN
    cells[sorted(seconds)] |= JOINS
    pages, differing = two_level(cells)
    return CharacterTable(pages=pages, cells=differing)


@njit(nogil=True, cache=True)
def inspect(data: npt.NDArray[np.uint8], start: int, stop: int, table: CharacterTable) -> int:
    """Whether the text `data[start:stop]` is NO_LETTER, PLAIN or REWRITE."""
    high, upper, small = np.uint8(0), np.int64(0), np.int64(0)
    for at in range(start, stop):
        byte = data[at]
        high |= byte
        upper |= np.uint8(byte - 65) < 26
        small |= np.uint8(byte - 97) < 26
    if high < 0x80:
        return PLAIN if small else REWRITE if upper else NO_LETTER
    pages, cells = table
    seen, wrong, last_class, last_starter = np.int64(0), np.bool_(False), np.int64(0), np.int64(0)
    at = start
    while at < stop:
        if data[at] < 0x80:
            cell = np.int64(cells[pages[0] + data[at]])
            at += 1
        else:
            code, at = decode(data, at, stop)
            cell = np.int64(cells[pages[code >> 8] + (code & 0xFF)])
        seen |= cell
        mark = cell >> CLASS_SHIFT
        wrong |= ((mark != 0) & (mark < last_class)) | ((cell & JOINS != 0) & (last_starter & OPEN != 0))
        last_class = mark
        if mark == 0:
            last_starter = cell
    if not seen & ALPHA:
        return NO_LETTER
    return REWRITE if wrong or seen & FOREIGN or (seen & UPPER and not seen & SMALL) else PLAIN


@njit(nogil=True, cache=True)
def _is_short(data: npt.NDArray[np.uint8], start: int, stop: int, characters: int) -> bool:
    """Whether `data[start:stop]` has at most `characters` characters."""
    if stop - start > 4 * characters:
        return False
    count = 0
    for at in range(start, stop):
        count += data[at] & 0xC0 != 0x80
    return count <= characters


@njit(nogil=True, cache=True)
def _piece(
    data: npt.NDArray[np.uint8], start: int, stop: int, width: int, whole_words: bool, table: CharacterTable
) -> tuple[int, int]:
    """The span of at most `width` whole characters from byte `start` on; no character is cut at either end.

    With `whole_words`, it begins after the first white space in its first half.
    """
    pages, cells = table
    stop = min(stop, start + 4 * width)
    while start < stop and data[start] & 0xC0 == 0x80:
        start += 1
    at, begin, looking = start, start, whole_words
    for taken in range(width):
        if at >= stop:
            break
        first = data[at]
        size = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        if at + size > stop:
            break
        if looking and taken < width // 2:
            code, _ = decode(data, at, stop)
            if cells[pages[code >> 8] + (code & 0xFF)] & SPACE:
                begin, looking = at + size, False
        at += size
    return begin, at


@njit(nogil=True, cache=True)
def take_samples(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], characters: int, table: CharacterTable
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Take at most `characters` characters of each text: all of it, or 5 pieces of equal length with blanks between them.

    Piece i is centred at (2i + 1) / 10 of the text's bytes and begins after the first white space in its first half, so
    that it does not begin inside a word. The head alone misleads, because the heads of pages are menus: on 2,962 HTML
    pages of 30 languages with over 1,000 characters, the label of a sample of 1,000 characters equalled that of the first
    50,000 for 96.9 % if taken from the head, 95.8 % from one piece in the middle, 97.3 % from 4 pieces, 97.8 % from these 5.
    More pieces gain little (98.4 % for 8, whose labels agree less with the pages' declared languages) and become short.

    Returns the samples end to end, uint8, and where each begins, int64 [rows + 1].
    """
    rows = len(offsets) - 1
    size = 0
    for row in range(rows):
        size += min(offsets[row + 1] - offsets[row], 4 * characters + PIECES)
    out = np.empty(size, dtype=np.uint8)
    bounds = np.zeros(rows + 1, dtype=np.int64)
    width = characters // PIECES
    filled = 0
    for row in range(rows):
        start, stop = offsets[row], offsets[row + 1]
        if _is_short(data, start, stop, characters):
            out[filled : filled + stop - start] = data[start:stop]
            filled += stop - start
        else:
            for i in range(PIECES):
                middle = (stop - start) * (2 * i + 1) // (2 * PIECES)
                at = max(0, middle - width // 2)
                begin, end = _piece(data, start + at, stop, width - 1, at > 0, table)
                if i:
                    out[filled] = BLANK
                    filled += 1
                out[filled : filled + end - begin] = data[begin:end]
                filled += end - begin
        bounds[row + 1] = filled
    return out[:filled], bounds


@njit(nogil=True, cache=True)
def _line_end(data: npt.NDArray[np.uint8], at: int, stop: int) -> int:
    """The place just behind the next newline; `stop` if there is none."""
    while at < stop:
        if data[at] == NEWLINE:
            return at + 1
        at += 1
    return stop


@njit(nogil=True, cache=True)
def _whole_character(data: npt.NDArray[np.uint8], at: int, stop: int) -> int:
    """`at` if a character begins there, otherwise where the next one begins."""
    while at < stop and data[at] & 0xC0 == 0x80:
        at += 1
    return at


@njit(nogil=True, cache=True)
def take_lines(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], budget: int, least: int, most: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Take lines of each text, at most about `budget` bytes per text: rows, starts and ends in `data`, each int64 [lines].

    A line of fewer than `least` bytes is joined with the lines after it; a line of more than `most` bytes is cut. From a text
    of at most `budget` bytes every line is taken. From a longer text one line is taken from each of `budget // most` equal
    parts: the first one that begins in the part, or the part's first bytes if none does. Fewer than `least` bytes at the end
    of a text or of a part are left out.
    """
    lines = 0
    for row in range(len(offsets) - 1):
        lines += min(offsets[row + 1] - offsets[row], budget) // least + 1
    rows, starts, ends = np.empty(lines, np.int64), np.empty(lines, np.int64), np.empty(lines, np.int64)
    count = 0
    for row in range(len(offsets) - 1):
        start, size = offsets[row], offsets[row + 1] - offsets[row]
        stop = start + size
        parts = 1 if size <= budget else max(1, budget // most)
        for part in range(parts):
            at = _whole_character(data, start + size * part // parts, stop)
            end = _whole_character(data, start + size * (part + 1) // parts, stop)
            if part:
                begun = _line_end(data, at, end)
                at = begun if end - begun >= least else at
            while end - at >= least:
                last, after = _whole_character(data, min(end, at + most), end), at
                while after < last and after - at < least:
                    after = _line_end(data, after, last)
                rows[count], starts[count], ends[count] = row, at, after
                count += 1
                at = after if size <= budget else end
    return rows[:count], starts[:count], ends[:count]
