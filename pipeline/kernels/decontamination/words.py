"""Words of texts with their places, and the n-grams of items that are looked for.

Purpose: two spellings of one sentence (case, punctuation, symbols, quotes, white space, accents, full-width letters) have the
same words; in scripts written without spaces each character is a word. The escapes of JSON and of program code are what they
stand for, since test sets come into corpora as their files.
Guarantee: the words are those of `normalise` under `FOLDING` without single letters, with the bytes of the text that each was
read from.
Cost: about 4 ns per byte. `read` allocates nothing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, hash_word
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.ngrams import ngram_hashes
from tokenmill.pipeline.kernels.text.normalise import GROWTH, encode, longest
from tokenmill.pipeline.kernels.text.unicode import (
    DELETED,
    KIND_SHIFT,
    LETTER,
    MARK,
    PAYLOAD,
    SEVERAL_SOLO,
    SOLO,
    SPACE,
    Folding,
    NormalisationTable,
)
from tokenmill.pipeline.kernels.text.utf8 import Integer, decode

FOLDING = Folding(case=True, marks=True, operators=True, compatibility=True)
"""What is equal in an item and in a text. Its table has no other kinds than those that `read` knows."""
WITHOUT_NUMBERS = FOLDING._replace(digits="removed")

QUARTERS = 4
"""A word weighs so much; a character of Chinese or Japanese half of it; one of Thai, Lao, Khmer or Burmese, and a number, a
quarter. Of 380,629 items of BIG-bench, lists of numbers stood in tables and code by accident."""
FIRST_HAN = 0x2E80

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@njit(nogil=True, cache=True)
def _quarters(text: Bytes, size: int) -> int:
    """What a word weighs. A single letter is no word, and weighs nothing: it may name a choice, as in "(A)"."""
    if 0x30 <= text[0] <= 0x39:
        return 1
    return QUARTERS if size > 1 else 0


@inlined
def _digit(byte: int) -> int:
    """The value of a hexadecimal digit; -1 for another byte."""
    if 0x30 <= byte <= 0x39:
        return byte - 0x30
    byte |= 0x20
    return byte - 0x57 if 0x61 <= byte <= 0x66 else -1


@leaf
def _escape(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    r"""What stands behind a backslash, and where it ends: the character of `\u00e9`, or a backslash for what is no letter.

    Halves of characters beyond U+FFFF, which are symbols but for rare letters, count as such; so does what is no escape.
    """
    if at < stop and (data[at] == 0x6E or data[at] == 0x72 or data[at] == 0x74):  # n, r, t
        return 0x5C, at + 1
    if at + 5 > stop or data[at] != 0x75:
        return 0x5C, at
    code = 0
    for i in range(1, 5):
        digit = _digit(int(data[at + i]))
        if digit < 0:
            return 0x5C, at
        code = code << 4 | digit
    return (0x5C if 0xD800 <= code <= 0xDFFF else code), at + 5


@njit(nogil=True, cache=True)
def read(
    data: Bytes, start: int, stop: int, tables: NormalisationTable, text: Bytes, words: Hashes, starts: Places, ends: Places
) -> tuple[int, int]:
    """Write the hash of each word of `data[start:stop]`, and its bytes [starts, ends) in `data`.

    `text`, uint8 [GROWTH * bytes + PADDING_BYTES]: scratch memory. `words`, `starts`, `ends`: [bytes]. Returns the number of
    words, and what they weigh in quarters.
    """
    pages, cells, expansions, first_bytes = tables
    size, count, quarters = 0, 0, 0
    at = start
    while at < stop:
        first = at
        byte = data[at]
        cell = np.int64(first_bytes[byte])
        if cell <= 0xFF:
            if size == 0:
                starts[count] = at
            while cell <= 0xFF:
                text[size] = cell
                size += 1
                at += 1
                if at == stop:
                    break
                cell = np.int64(first_bytes[data[at]])
            ends[count] = at
            continue
        code: Integer = np.int64(byte)
        if byte == 0x5C:
            code, at = _escape(data, at + 1, stop)
            cell = np.int64(cells[pages[code >> 8] + (code & 0xFF)])
        elif byte < 0x80:
            at += 1
        else:
            code, at = decode(data, at, stop)
            cell = np.int64(cells[pages[code >> 8] + (code & 0xFF)])
        kind, payload = cell >> KIND_SHIFT, cell & PAYLOAD
        if kind == DELETED or (kind == MARK and payload == 0):
            continue
        if size and kind in (SPACE, SOLO, SEVERAL_SOLO):
            weight = _quarters(text, size)
            if weight:
                words[count] = hash_word(text, 0, size)
                count += 1
                quarters += weight
            size = 0
        if kind == SPACE:
            continue
        if kind in (SOLO, SEVERAL_SOLO):
            parts = np.int64(expansions[payload]) if kind == SEVERAL_SOLO else 1
            for i in range(parts):
                spelled = np.int64(expansions[payload + 1 + i]) if kind == SEVERAL_SOLO else payload if payload else code
                words[count] = hash_word(text, 0, encode(spelled, text, 0))
                starts[count], ends[count] = first, at
                count += 1
            quarters += 2 if code >= FIRST_HAN else 1
            continue
        if size == 0:
            starts[count] = first
        if kind in (LETTER, MARK):
            size = encode(payload if payload else code, text, size)
        else:
            for i in range(payload + 1, payload + 1 + np.int64(expansions[payload])):
                size = encode(np.int64(expansions[i]), text, size)
        ends[count] = at
    weight = _quarters(text, size) if size else 0
    if weight:
        words[count] = hash_word(text, 0, size)
        count += 1
        quarters += weight
    return count, quarters


@njit(nogil=True, cache=True)
def item_ngrams(
    data: Bytes, offsets: Places, tables: NormalisationTable, n: int, least: int
) -> tuple[Hashes, Places, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The n-grams of each text: of `n` words, or of all words of a text that has fewer, but none of fewer than `least`.

    Returns their hashes, text after text, where each text's begin, int64 [texts + 1], and int32 [texts]: the words of each
    text, and what they weigh in words.
    """
    most = longest(offsets)
    text = np.empty(GROWTH * most + PADDING_BYTES, dtype=np.uint8)
    words = np.empty(most, dtype=np.uint64)
    places = np.empty(most, dtype=np.int64)
    texts = len(offsets) - 1
    # Memory that is never written is never taken from the system.
    grams = np.empty(offsets[texts] - offsets[0], dtype=np.uint64)
    bounds = np.zeros(texts + 1, dtype=np.int64)
    counts, weights = np.zeros(texts, dtype=np.int32), np.zeros(texts, dtype=np.int32)
    filled = 0
    for row in range(texts):
        count, quarters = read(data, offsets[row], offsets[row + 1], tables, text, words, places, places)
        counts[row], weights[row] = count, quarters // QUARTERS
        if count >= least:
            found = ngram_hashes(words, count, min(n, count), words)
            grams[filled : filled + found] = words[:found]
            filled += found
        bounds[row + 1] = filled
    return grams[:filled], bounds, counts, weights
