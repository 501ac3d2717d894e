"""Splits text into words as the quality rules count them: their spans in UTF-8 bytes, and what the rules need of each.

Purpose: the published rules count the tokens of spaCy's English tokenizer, punctuation marks included. This splitter
follows the published order of that tokenizer, with classes of Unicode instead of its lists. White space separates chunks. In
scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each letter, with the marks behind it, is a
word. From the pieces in between, marks come off the front and the end, one by one; the rest is cut at marks inside it.
Guarantee: the words of a text, joined, are the text without its white space. The words of a piece depend on that piece only.
Cost: linear in the text, without allocation; 4 to 5 ns per byte of English, 7 of Chinese or Japanese.

Source: https://spacy.io/usage/linguistic-features#how-tokenizer-works.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import load, mix64
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.kernels.words.classes import (
    ALPHABETIC,
    ASCII,
    BACK,
    END_MARK,
    MARK,
    PUNCTUATION,
    SOLO,
    SPACE,
    STOP,
    SYMBOLIC,
    Tables,
    tables,
)
from tokenmill.pipeline.kernels.words.expressions import FIRST_SHIFT, MOST_BYTES, WHOLE
from tokenmill.pipeline.kernels.words.expressions import STOP_WORD_SHIFT as ROLE_SHIFT
from tokenmill.pipeline.kernels.words.lookups import (
    Bytes,
    Classes,
    Expressions,
    Places,
    class_at,
    hash_span,
    role_by_hash,
    role_of,
)
from tokenmill.pipeline.kernels.words.pieces import full_stop_comes_off, split_piece

STOP_WORD_SHIFT = 4
"""`flags >> STOP_WORD_SHIFT` is 1 + the index of a stop word in `classes.STOP_WORDS`, and 0 for other words."""

_EVERY = SYMBOLIC | PUNCTUATION
_BOUNDARY = SPACE | SOLO


@leaf
def split(
    data: Bytes,
    start: int,
    stop: int,
    lookup: Tables,
    starts: Places,
    ends: Places,
    characters: npt.NDArray[np.int32],
    flags: Bytes,
    hashes: npt.NDArray[np.uint64],
) -> int:
    """Split the document `data[start:stop]`; returns the number of words.

    Writes for each word, in order: `starts` and `ends`, int64, its span in `data`; `characters`, int32, its number of code
    points; `flags`, uint8: SYMBOLIC (all characters are in `classes.SYMBOLS`), ALPHABETIC (at least one is a letter), END_MARK
    (the word is a mark that ends a sentence), PUNCTUATION (all characters are of a category P), and which stop word it is;
    `hashes`, uint64, the `hash_span` of its bytes. All five need room for `stop - start` words. Bytes that are not UTF-8 are
    read as `utf8.decode` says.
    """
    classes, expressions = lookup
    top = stop - start
    count = 0
    cell: Integer
    at = start
    while at < stop:
        # The common case: a run of letters, then white space, with at most one mark between them.
        begin = at
        if at + 8 <= stop:
            at += int(_ascii_letters(load(data, np.uint64(at))))
        length = at - begin
        cell, after = SPACE, at
        while at < stop:
            cell, after = class_at(data, at, stop, classes)
            if cell & (ALPHABETIC | SOLO) != ALPHABETIC:
                break
            length += 1
            at = after
            cell = SPACE
        if cell & _BOUNDARY:
            if at > begin:
                count = _letters(data, begin, at, length, classes, expressions, starts, ends, characters, flags, hashes, count)
            if cell & SOLO:
                begin, at = at, _after_marks(data, after, stop, classes)
                starts[count], ends[count] = begin, at
                _describe(data, classes, expressions, starts, ends, characters, flags, hashes, count)
                count += 1
            else:
                at = after
            continue
        if (
            at > begin
            and cell & (BACK | STOP)
            and data[at] < 0x80
            and (after == stop or (data[after] < 0x80 and classes[ASCII + data[after]] & SPACE))
        ):
            comes_off = cell & BACK != 0 or (
                length > 1
                and full_stop_comes_off(data, begin, after, classes)
                and role_of(data, begin, after, expressions) & WHOLE == 0
            )
            if comes_off:
                count = _letters(data, begin, at, length, classes, expressions, starts, ends, characters, flags, hashes, count)
                starts[count], ends[count], characters[count] = at, after, 1
                flags[count] = cell & 0xF
                hashes[count] = mix64(np.uint64(data[at]))
                count += 1
                at = after
                continue
        seen = cell
        at = after
        while at < stop:
            cell, after = class_at(data, at, stop, classes)
            if cell & _BOUNDARY:
                break
            seen |= cell
            at = after
        first = count
        count = split_piece(data, begin, at, seen, classes, expressions, starts, ends, count, top)
        for word in range(first, count):
            _describe(data, classes, expressions, starts, ends, characters, flags, hashes, word)
    return count


@leaf
def spans(data: Bytes, start: int, stop: int, lookup: Tables, starts: Places, ends: Places) -> int:
    """Like `split`, but write only the spans of the words, without the fast path for common words."""
    classes, expressions = lookup
    top = stop - start
    count = 0
    at = start
    while at < stop:
        begin, after = at, at
        seen: Integer = np.int64(0)
        cell: Integer = SPACE
        while at < stop:
            cell, after = class_at(data, at, stop, classes)
            if cell & _BOUNDARY:
                break
            seen |= cell
            at = after
        if at > begin:
            count = split_piece(data, begin, at, seen, classes, expressions, starts, ends, count, top)
        if at < stop:
            begin, at = at, after
            if cell & SOLO:
                at = _after_marks(data, at, stop, classes)
                starts[count], ends[count] = begin, at
                count += 1
    return count


@inlined
def _after_marks(data: Bytes, at: int, stop: int, classes: Classes) -> int:
    """The end of the run of marks at `at`."""
    while at < stop:
        cell, after = class_at(data, at, stop, classes)
        if not cell & MARK:
            break
        at = after
    return at


@leaf
def sentences(flags: Bytes, first: int, last: int) -> int:
    """The number of sentences in one line with the words `first` to `last - 1`, by their flags; a line has at least one.

    A sentence begins with the first word, and with each word that follows an end mark and is not punctuation. Source: spaCy's
    `sentencizer` (https://spacy.io/api/sentencizer).
    """
    count, ended = 1, False
    for word in range(first, last):
        if flags[word] & END_MARK:
            ended = True
        elif ended and not flags[word] & PUNCTUATION:
            count, ended = count + 1, False
    return count


def of(text: str) -> list[str]:
    """The words of one text as strings: for inspection, not for speed."""
    content = text.encode()
    data, most = np.frombuffer(content, dtype=np.uint8), len(content)
    starts, ends = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    characters, flags = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.uint8)
    count = split(data, 0, most, tables(), starts, ends, characters, flags, np.empty(most, dtype=np.uint64))
    return [content[start:end].decode() for start, end in zip(starts[:count], ends[:count], strict=True)]


@inlined
def _ascii_letters(eight: np.uint64) -> Integer:
    """The number of leading ASCII letters among eight bytes; the first byte is the lowest."""
    high, folded = np.uint64(0x8080808080808080), eight | np.uint64(0x2020202020202020)
    folded &= ~high
    # The first sum sets the high bit of a byte that is at least "a", the second that of a byte beyond "z".
    letters = (folded + np.uint64(0x1F1F1F1F1F1F1F1F)) & ~(folded + np.uint64(0x0505050505050505)) & ~eight & high
    others = letters ^ high
    if others == 0:
        return 8
    lowest = (others & (~others + np.uint64(1))) >> np.uint64(7)
    return np.int64((lowest * np.uint64(0x0001020304050607)) >> np.uint64(56))


@inlined
def _letters(
    data: Bytes,
    start: int,
    end: int,
    length: int,
    classes: Classes,
    expressions: Expressions,
    starts: Places,
    ends: Places,
    characters: npt.NDArray[np.int32],
    flags: Bytes,
    hashes: npt.NDArray[np.uint64],
    count: int,
) -> int:
    """Write a piece of `length` letters: one word, or the two words of a contraction. Returns the new number of words."""
    key = hash_span(data, start, end)
    role = role_by_hash(key, end - start, expressions) if end - start <= MOST_BYTES else 0
    first = role >> FIRST_SHIFT & 0xFF
    if first:
        starts[count], ends[count] = start, start + first
        starts[count + 1], ends[count + 1] = start + first, end
        _describe(data, classes, expressions, starts, ends, characters, flags, hashes, count)
        _describe(data, classes, expressions, starts, ends, characters, flags, hashes, count + 1)
        return count + 2
    starts[count], ends[count], characters[count] = start, end, length
    flags[count], hashes[count] = ALPHABETIC | (role >> ROLE_SHIFT & 0xFF) << STOP_WORD_SHIFT, key
    return count + 1


@inlined
def _describe(
    data: Bytes,
    classes: Classes,
    expressions: Expressions,
    starts: Places,
    ends: Places,
    characters: npt.NDArray[np.int32],
    flags: Bytes,
    hashes: npt.NDArray[np.uint64],
    word: int,
) -> None:
    """Write the characters, flags and hash of a word whose span is already written."""
    start, end = starts[word], ends[word]
    key = hash_span(data, start, end)
    role = role_by_hash(key, end - start, expressions) if end - start <= MOST_BYTES else 0
    some, every, length = np.int64(0), np.int64(_EVERY), 0
    at = start
    while at < end:
        cell, at = class_at(data, at, end, classes)
        some |= cell
        every &= cell
        length += 1
    found = (some & ALPHABETIC) | every
    if length == 1:
        found |= some & END_MARK
    characters[word], hashes[word] = length, key
    flags[word] = found | (role >> ROLE_SHIFT & 0xFF) << STOP_WORD_SHIFT
