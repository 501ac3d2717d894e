"""Normalises text for the comparison of near duplicates, in one pass over UTF-8 bytes.

The steps, each as the `Folding` of the table says, in order: lower the case, of all letters or of the first one of a word;
replace numbers `\\p{Nd}+([sep]\\p{Nd}+)?` by `0`; replace punctuation, but not the operators that are kept, by a space; replace
runs of white space by one space; decompose canonically and remove nonspacing marks; remove spaces at both ends. Words are the
maximal runs without spaces in the result. An operator that is kept is a word of its own, as is a punctuation character that is
kept, and each character in scripts written without spaces.

Guarantee: the result equals that of a plain Python pipeline over single characters (the tests' oracle). It differs from
normalising whole strings in two ways: all small sigmas become one where case is folded, and marks keep the order in which they
were written.
Cost: about 4 ns per byte, ASCII or not. No allocation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import hash_word
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.operators import address_end, is_letter, is_operator
from tokenmill.pipeline.kernels.text.unicode import (
    CAPITAL,
    DELETED,
    DIGIT,
    KIND_SHIFT,
    LETTER,
    MARK,
    OPERATOR,
    PAYLOAD,
    SEPARATOR,
    SEVERAL,
    SEVERAL_SOLO,
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
def encode(code: Integer, out: npt.NDArray[np.uint8], at: int) -> int:
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
def _goes_on_small(data: npt.NDArray[np.uint8], at: int, stop: int, tables: NormalisationTable) -> bool:
    """Whether the next letter of a word, after the marks at `at`, is there and is no capital."""
    if at < stop and data[at] < 0x80:
        return bool(0x61 <= data[at] <= 0x7A)
    while at < stop:
        code, at = decode(data, at, stop)
        kind = _cell(code, tables) >> KIND_SHIFT
        if kind != MARK:
            return kind in (LETTER, SEVERAL) and is_letter(code)
    return False


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

    `text`, uint8 [GROWTH * bytes + PADDING_BYTES], receives the normalised text. `words`, uint64 [bytes], receives a hash of
    each word; no byte becomes more than one.
    """
    pages, cells, expansions, first_bytes = tables
    size, count = 0, 0
    begun = -1
    # White space collapses before marks are removed, so a mark between two spaces still keeps them apart.
    spaced = False
    at = address = start
    code: Integer
    while at < stop:
        byte = data[at]
        cell = np.int64(first_bytes[byte])
        # The common case: a run of ASCII letters that are written as they are.
        if cell <= 0xFF:
            if begun < 0:
                begun = size
            # Unsigned indices need no test for negative values.
            read, written, end = np.uint64(at), np.uint64(size), np.uint64(stop)
            while cell <= 0xFF:
                text[written] = cell
                written += np.uint64(1)
                read += np.uint64(1)
                if read == end:
                    break
                cell = np.int64(first_bytes[data[read]])
            at, size = int(np.int64(read)), int(np.int64(written))
            spaced = False
            continue
        if byte < 0x80:
            code, at = np.int64(byte), at + 1
        else:
            code, at = decode(data, at, stop)
            cell = np.int64(cells[pages[code >> 8] + (code & 0xFF)])
        kind, payload = cell >> KIND_SHIFT, cell & PAYLOAD
        if kind == SPACE:
            if begun >= 0:
                words[count] = hash_word(text, begun, size)
                count += 1
                begun = -1
            if not spaced and size:
                text[size] = BLANK
                size += 1
            spaced = True
            continue
        if kind in (SEPARATOR, SOLO, OPERATOR):
            if begun >= 0:
                words[count] = hash_word(text, begun, size)
                count += 1
                begun = -1
            if kind == OPERATOR:
                first = at - 1
                while at < stop and first_bytes[data[at]] >> KIND_SHIFT == OPERATOR:
                    at += 1
                if first >= address and at - first > 1 and first > start and data[first - 1] == 0x3A:
                    # A run that begins with two slashes behind a colon begins an address, in which no operators stand.
                    address = address_end(data, at, stop) if data[first] == 0x2F == data[first + 1] else address
                if first >= address and is_operator(data, start, stop, first, at, first_bytes):
                    begin = size
                    for i in range(first, at):
                        text[size] = data[i]
                        size += 1
                    words[count] = hash_word(text, begin, size)
                    count += 1
                    spaced = False
                    continue
            if kind == SOLO or (kind == SEPARATOR and payload != BLANK):
                begin = size
                size = encode(payload if payload else code, text, size)
                words[count] = hash_word(text, begin, size)
                count += 1
                spaced = False
            elif not spaced:
                if size:
                    text[size] = BLANK
                    size += 1
                spaced = True
            continue
        if kind == DELETED:
            continue
        spaced = False
        if kind == MARK and payload == 0:
            continue
        if kind == SEVERAL_SOLO:
            if begun >= 0:
                words[count] = hash_word(text, begun, size)
                count += 1
                begun = -1
            for i in range(payload + 1, payload + 1 + np.int64(expansions[payload])):
                begin = size
                size = encode(np.int64(expansions[i]), text, size)
                words[count] = hash_word(text, begin, size)
                count += 1
            continue
        if begun < 0:
            begun = size
        if kind == CAPITAL and code < 0x80:
            starts = begun == size and _goes_on_small(data, at, stop, tables)
            text[size] = code | 0x20 if starts else code
            size += 1
        elif kind == CAPITAL:
            starts = begun == size and _goes_on_small(data, at, stop, tables)
            if not starts:
                payload += 1 + np.int64(expansions[payload])
            for i in range(payload + 1, payload + 1 + np.int64(expansions[payload])):
                size = encode(np.int64(expansions[i]), text, size)
        elif kind == MARK:
            size = encode(payload, text, size)
        elif kind == LETTER:
            size = encode(payload if payload else code, text, size)
        elif kind == DIGIT:
            at = _number_end(data, at, stop, tables)
            text[size] = ZERO
            size += 1
        else:
            for i in range(payload + 1, payload + 1 + np.int64(expansions[payload])):
                size = encode(np.int64(expansions[i]), text, size)
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
