"""Normalises text for the comparison of duplicates, as MinHash pipelines do, in one pass over UTF-8 bytes.

The steps, in order: lower the case; replace numbers `\\p{Nd}+([sep]\\p{Nd}+)?` by `0`; replace punctuation by a space; replace
runs of white space by one space; decompose canonically and remove nonspacing marks; remove spaces at both ends. Words are the
maximal runs without spaces in the result; in scripts written without spaces each character is a word.

Guarantee: the result equals that of a plain Python pipeline over single characters (the tests' oracle). It differs from
normalising whole strings in two ways: all small sigmas become one, and the rare marks of category Mc or Me that have a
combining class keep the order in which they were written.
Cost: about 4 ns per byte, ASCII or not. No allocation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import hash_word
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.unicode import (
    DIGIT,
    KIND_SHIFT,
    LETTER,
    MARK,
    PAYLOAD,
    SEPARATOR,
    SOLO,
    SPACE,
    NormalisationTable,
)
from tokenmill.pipeline.kernels.text.utf8 import Integer, decode

GROWTH = 3
"""Folding makes a character at most this many times as long (a Hangul syllable of 3 bytes becomes 3 jamo of 3 bytes)."""

BLANK = 0x20
ZERO = 0x30


@njit(nogil=True, cache=True)
def _encode(code: Integer, out: npt.NDArray[np.uint8], at: int) -> int:
    """Write `code` as UTF-8 at `at`; returns where the next character goes."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at] = 0xC0 | code >> 6
        out[at + 1] = 0x80 | (code & 0x3F)
        return at + 2
    if code < 0x10000:
        out[at] = 0xE0 | code >> 12
        out[at + 1] = 0x80 | (code >> 6 & 0x3F)
        out[at + 2] = 0x80 | (code & 0x3F)
        return at + 3
    out[at] = 0xF0 | code >> 18
    out[at + 1] = 0x80 | (code >> 12 & 0x3F)
    out[at + 2] = 0x80 | (code >> 6 & 0x3F)
    out[at + 3] = 0x80 | (code & 0x3F)
    return at + 4


@njit(nogil=True, cache=True)
def _cell(code: Integer, tables: NormalisationTable) -> Integer:
    return np.int64(tables.cells[tables.pages[code >> 8] + (code & 0xFF)])


@njit(nogil=True, cache=True)
def _number_end(data: npt.NDArray[np.uint8], at: int, stop: int, tables: NormalisationTable) -> int:
    """The end of the number with a digit just before `at`: more digits, then at most one separator with digits behind it."""
    joined = False
    while at < stop:
        code, after = decode(data, at, stop)
        kind = _cell(code, tables) >> KIND_SHIFT
        if kind == SEPARATOR and not joined and after < stop:
            code, following = decode(data, after, stop)
            if _cell(code, tables) >> KIND_SHIFT != DIGIT:
                return at
            joined = True
            after = following
        elif kind != DIGIT:
            return at
        at = after
    return at


@njit(nogil=True, cache=True)
def normalise(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    tables: NormalisationTable,
    text: npt.NDArray[np.uint8],
    words: npt.NDArray[np.uint64],
) -> tuple[int, int]:
    """Normalise the document `data[start:stop]`; returns (bytes written to `text`, hashes written to `words`).

    `text`, uint8 [GROWTH * bytes + PADDING_BYTES], receives the normalised text. `words`, uint64 [bytes // 2 + 1], receives a
    hash of each word; a word takes two bytes with its space, or three in scripts without spaces.
    """
    pages, cells, expansions = tables
    ascii_cells = cells[pages[0] : pages[0] + 0x80]
    size, count = 0, 0
    begun = -1
    # White space collapses before marks are removed, so a mark between two spaces still keeps them apart.
    spaced = False
    at = start
    code: Integer
    while at < stop:
        byte = data[at]
        if byte < 0x80:
            cell = np.int64(ascii_cells[byte])
            # The common case: a run of ASCII letters.
            if cell <= 0xFF:
                if begun < 0:
                    begun = size
                while cell <= 0xFF:
                    text[size] = cell
                    size += 1
                    at += 1
                    if at == stop:
                        break
                    byte = data[at]
                    if byte >= 0x80:
                        break
                    cell = np.int64(ascii_cells[byte])
                spaced = False
                continue
            code, at = np.int64(byte), at + 1
        else:
            code, at = decode(data, at, stop)
            cell = np.int64(cells[pages[code >> 8] + (code & 0xFF)])
        kind, payload = cell >> KIND_SHIFT, cell & PAYLOAD
        if kind in (SPACE, SEPARATOR, SOLO):
            if begun >= 0:
                words[count] = hash_word(text, begun, size)
                count += 1
                begun = -1
            if kind == SOLO:
                begin = size
                size = _encode(payload if payload else code, text, size)
                words[count] = hash_word(text, begin, size)
                count += 1
                spaced = False
            elif not spaced:
                if size:
                    text[size] = BLANK
                    size += 1
                spaced = True
            continue
        spaced = False
        if kind == MARK:
            continue
        if begun < 0:
            begun = size
        if kind == LETTER:
            size = _encode(payload if payload else code, text, size)
        elif kind == DIGIT:
            at = _number_end(data, at, stop, tables)
            text[size] = ZERO
            size += 1
        else:
            for i in range(payload + 1, payload + 1 + np.int64(expansions[payload])):
                size = _encode(np.int64(expansions[i]), text, size)
    if begun >= 0:
        words[count] = hash_word(text, begun, size)
        count += 1
    while size and text[size - 1] == BLANK:
        size -= 1
    return size, count


@njit(nogil=True, cache=True)
def longest(offsets: npt.NDArray[np.int64]) -> int:
    """The size in bytes of the longest document, for which scratch buffers are made."""
    most = 0
    for row in range(len(offsets) - 1):
        most = max(most, offsets[row + 1] - offsets[row])
    return most
