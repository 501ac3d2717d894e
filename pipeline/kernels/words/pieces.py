"""Splits a piece into words: the text between white space and letters of scripts written without spaces.

Purpose: marks come off the front and the end, one by one; the rest is cut at marks inside it, unless it is a contraction
or an address. The rules are those of spaCy's English tokenizer (`spacy/lang/punctuation.py`), over classes of Unicode.
Guarantee: the words, joined, are the piece.
Cost: linear; about 8 ns per byte, which few pieces cost, since `split` handles the common ones itself.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.leaf import inlined
from tokenmill.pipeline.kernels.text.utf8 import Integer, before, decode
from tokenmill.pipeline.kernels.words.addresses import is_address
from tokenmill.pipeline.kernels.words.classes import (
    AFTER_DIGIT,
    ALPHABETIC,
    ALPHANUMERIC,
    ASCII,
    BACK,
    BEFORE_STOP,
    DIGIT,
    FRONT,
    INSIDE,
    LETTER,
    LOWER,
    QUOTE,
    STOP,
    SYMBOL,
    UPPER,
)
from tokenmill.pipeline.kernels.words.expressions import FIRST_SHIFT, UNIT, WHOLE
from tokenmill.pipeline.kernels.words.lookups import Bytes, Classes, Expressions, Places, class_at, last_class, role_of

_APOSTROPHES = (0x27, 0x2019)
_ARITHMETIC = (0x2A, 0x2B, 0x2D, 0x5E)
_PLUS = 0x2B
_COMMA = 0x2C
_HYPHEN = 0x2D
_DOT = 0x2E
_EM_DASH = 0x2014
_ELLIPSIS = 0x2026


@inlined
def split_piece(
    data: Bytes,
    start: int,
    end: int,
    seen: Integer,
    classes: Classes,
    expressions: Expressions,
    starts: Places,
    ends: Places,
    count: int,
    top: int,
) -> int:
    """Write the spans of the words of a piece from index `count` on; returns the new number of words.

    `seen` is the union of the classes of the piece's characters. Words that come off the end wait at the end of the buffers,
    below `top`; there is room, since each word has at least one byte.
    """
    waiting = top
    while start < end and not _is_whole(data, start, end, classes, expressions):
        taken = _at_front(data, start, end, classes)
        if taken:
            starts[count], ends[count] = start, start + taken
            count += 1
            start += taken
            continue
        taken = _at_end(data, start, end, classes, expressions)
        if not taken:
            count = _cut(data, start, end, seen, classes, expressions, starts, ends, count)
            start = end
            break
        waiting -= 1
        starts[waiting], ends[waiting] = end - taken, end
        end -= taken
    if start < end:
        starts[count], ends[count] = start, end
        count += 1
    for word in range(waiting, top):
        starts[count], ends[count] = starts[word], ends[word]
        count += 1
    return count


@inlined
def _is_whole(data: Bytes, start: int, end: int, classes: Classes, expressions: Expressions) -> bool:
    """Whether no more marks come off: an abbreviation, a letter with its full stop, or a fixed expression."""
    if data[end - 1] == _DOT and end - start > 1:
        cell, after = class_at(data, start, end, classes)
        if after == end - 1:
            return cell & ALPHABETIC != 0
    return role_of(data, start, end, expressions) & WHOLE != 0


@inlined
def _at_front(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The number of bytes that come off the front."""
    if data[start] == _DOT:
        dots = _dots(data, start, end)
        return dots if dots > 1 else 0
    if data[start] == _PLUS:
        return 0 if start + 1 < end and classes[ASCII + data[start + 1]] & DIGIT else 1
    cell, after = class_at(data, start, end, classes)
    return after - start if cell & FRONT else 0


@inlined
def _dots(data: Bytes, at: int, end: int) -> int:
    """The number of full stops in a row at `at`."""
    start = at
    while at < end and data[at] == _DOT:
        at += 1
    return at - start


@inlined
def _at_end(data: Bytes, start: int, end: int, classes: Classes, expressions: Expressions) -> int:
    """The number of bytes that come off the end."""
    cell, at = last_class(data, start, end, classes)
    if cell & STOP:
        while at > start and data[at - 1] == _DOT:
            at -= 1
        return end - at if end - at > 1 or full_stop_comes_off(data, start, end, classes) else 0
    if cell & AFTER_DIGIT:
        return end - at if at > start and classes[ASCII + data[at - 1]] & DIGIT else 0
    if data[at] in (0x53, 0x73) and at > start:
        second = before(data, start, at)
        code, _ = decode(data, second, at)
        if second > start and code in _APOSTROPHES:
            return end - second
    if cell & BACK:
        return end - at
    for size in range(1, 5):
        if end - size <= start:
            break
        if classes[ASCII + data[end - size - 1]] & DIGIT:
            return size if role_of(data, end - size, end, expressions) & UNIT else 0
    return 0


@inlined
def full_stop_comes_off(data: Bytes, start: int, end: int, classes: Classes) -> bool:
    """Whether the full stop at the end of `data[start:end]` is a word by itself, by the characters before it."""
    if end - start < 2:
        return False
    cell, at = last_class(data, start, end - 1, classes)
    if cell & BEFORE_STOP or cell & (ALPHABETIC | UPPER) == ALPHABETIC:
        return True
    if at == start or not cell & UPPER:
        return False
    cell, _ = last_class(data, start, at, classes)
    return cell & (ALPHABETIC | LOWER) == ALPHABETIC


@inlined
def _cut(
    data: Bytes,
    start: int,
    end: int,
    seen: Integer,
    classes: Classes,
    expressions: Expressions,
    starts: Places,
    ends: Places,
    count: int,
) -> int:
    """Write the words of a piece without marks around it: cut it at marks inside it, but keep an address whole."""
    first = role_of(data, start, end, expressions) >> FIRST_SHIFT & 0xFF
    if first:
        starts[count], ends[count] = start, start + first
        starts[count + 1], ends[count + 1] = start + first, end
        return count + 2
    if not (seen & STOP and is_address(data, start, end, classes)):
        previous: Integer = np.int64(0)
        at = start
        while at < end:
            cell, after = class_at(data, at, end, classes)
            taken = _inside(data, at, after, end, cell, previous, classes) if cell & INSIDE else 0
            if taken:
                if at > start:
                    starts[count], ends[count] = start, at
                    count += 1
                starts[count], ends[count] = at, at + taken
                count += 1
                start = after = at + taken
                cell, _ = last_class(data, at, after, classes)
            previous = cell
            at = after
    if start < end:
        starts[count], ends[count] = start, end
        count += 1
    return count


@inlined
def _inside(data: Bytes, at: int, after: int, end: int, cell: Integer, previous: Integer, classes: Classes) -> int:
    """How many bytes the mark at `at` has that parts a word there; 0 where it parts none."""
    code, _ = decode(data, at, end)
    if code == _ELLIPSIS or cell & SYMBOL:
        return after - at
    following = class_at(data, after, end, classes)[0] if after < end else np.int64(0)
    if code == _DOT:
        if after < end and data[after] == _DOT:
            return _dots(data, at, end)
        small = previous & QUOTE or previous & (ALPHABETIC | UPPER) == ALPHABETIC
        capital = following & QUOTE or following & (ALPHABETIC | LOWER) == ALPHABETIC
        return 1 if small and capital else 0
    if code in _ARITHMETIC:
        if previous & DIGIT and (following & DIGIT or (after < end and data[after] == _HYPHEN)):
            return 1
        if code != _HYPHEN:
            return 0
    if code == _COMMA:
        return 1 if previous & LETTER and following & LETTER else 0
    if not previous & ALPHANUMERIC:
        return 0
    most = 3 if code == _HYPHEN else 2 if code == _EM_DASH else 1
    size = after - at
    while most > 1 and after < end and not following & LETTER:
        if decode(data, after, end)[0] != code:
            return 0
        after += size
        most -= 1
        following = class_at(data, after, end, classes)[0] if after < end else np.int64(0)
    return after - at if following & LETTER else 0
