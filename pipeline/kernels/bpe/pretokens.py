r"""Hand-written scanners for pre-tokens: the pieces of text that byte-pair encoding never joins.

Purpose: the published patterns of GPT-2, of cl100k, Llama 3 and Qwen2, and of o200k, without a regular expression engine.
Guarantee: the pieces are those of the pattern, leftmost alternative first, over all of Unicode 16.0; they follow one another
without a gap.
Cost: linear in the text; 2 to 3 ns per byte of English.

How alternatives with backtracking become one look ahead: `\s+(?!\S)` gives back its last character if other text follows, and
`\s*[\r\n]+` ends behind the last newline of the white space. In o200k, where a run of capitals may backtrack to a character
of either case, the end is behind the last such character of the run.
"""

from __future__ import annotations

import numpy as np

from tokenmill.pipeline.kernels.bpe.pretoken_classes import (
    ASCII,
    EITHER,
    LETTER,
    LOWER,
    NEWLINE,
    NUMBER,
    OTHER,
    SLASH,
    SPACE,
    UPPER,
)
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.kernels.words.lookups import Bytes, Classes, Places, class_at

GPT2 = 0
CL100K = 1
O200K = 2

APOSTROPHE = 0x27
_NO_PREFIX = LETTER | NUMBER | NEWLINE


@leaf
def scan(
    data: Bytes, offsets: Places, row: int, at: int, classes: Classes, kind: int, digits: int, ends: Places
) -> tuple[int, int, int]:
    """Write the ends of pre-tokens from byte `at` of row `row` on, until `ends` is full or no row is left.

    Row i is `data[offsets[i]:offsets[i + 1]]`, valid UTF-8. `classes`: `pretoken_classes.tables()`. `kind`: GPT2, CL100K or
    O200K. `digits`: the most digits in a pre-token; GPT2 ignores it. Returns the number of ends written, and the row and byte
    to continue from; the row is `len(offsets) - 1` when all rows are done.
    """
    count, rows, room = 0, len(offsets) - 1, len(ends)
    while row < rows:
        stop = offsets[row + 1]
        while at < stop:
            if count == room:
                return count, row, at
            if kind == GPT2:
                at = _gpt2(data, at, stop, classes)
            elif kind == CL100K:
                at = _cl100k(data, at, stop, classes, digits)
            else:
                at = _o200k(data, at, stop, classes, digits)
            ends[count] = at
            count += 1
        row += 1
    return count, row, at


@inlined
def _gpt2(data: Bytes, at: int, stop: int, classes: Classes) -> int:
    if data[at] == APOSTROPHE:
        end = _contraction(data, at, stop, False)
        if end > at:
            return end
    cell, after = class_at(data, at, stop, classes)
    if data[at] == 0x20 and after < stop:
        following, behind = class_at(data, after, stop, classes)
        if not following & SPACE:
            cell, after = following, behind
    if cell & SPACE:
        return _spaces(data, at, stop, classes, False)
    return _run(data, after, stop, classes, cell & (LETTER | NUMBER | OTHER))


@inlined
def _cl100k(data: Bytes, at: int, stop: int, classes: Classes, digits: int) -> int:
    cell, after = class_at(data, at, stop, classes)
    if cell & LETTER:
        return _run(data, after, stop, classes, LETTER)
    if data[at] == APOSTROPHE:
        end = _contraction(data, at, stop, True)
        if end > at:
            return end
    if after < stop:
        following, behind = class_at(data, after, stop, classes)
        if following & LETTER and not cell & _NO_PREFIX:
            return _run(data, behind, stop, classes, LETTER)
        if following & OTHER and data[at] == 0x20:
            cell, after = following, behind
    if cell & NUMBER:
        return _number(data, after, stop, classes, digits)
    if cell & OTHER:
        return _run(data, _run(data, after, stop, classes, OTHER), stop, classes, NEWLINE)
    return _spaces(data, at, stop, classes, True)


@inlined
def _o200k(data: Bytes, at: int, stop: int, classes: Classes, digits: int) -> int:
    cell, after = class_at(data, at, stop, classes)
    end = at
    if cell & LETTER:
        end, capitals = _cased(data, at, stop, classes)
        end = max(end, capitals)
    elif not cell & _NO_PREFIX:
        end, capitals = _cased(data, after, stop, classes)
        if end == after and not cell & EITHER:
            # Only capitals follow the prefix. A mark that is the prefix of nothing is left to the alternatives below.
            end = capitals if capitals > after else at
    if end > at:
        return max(end, _contraction(data, end, stop, True)) if end < stop and data[end] == APOSTROPHE else end
    if cell & NUMBER:
        return _number(data, after, stop, classes, digits)
    if data[at] == 0x20 and after < stop:
        following, behind = class_at(data, after, stop, classes)
        if following & OTHER:
            cell, after = following, behind
    if cell & OTHER:
        return _run(data, _run(data, after, stop, classes, OTHER), stop, classes, NEWLINE | SLASH)
    return _spaces(data, at, stop, classes, True)


@leaf
def _cased(data: Bytes, start: int, stop: int, classes: Classes) -> tuple[int, int]:
    """The end of `[upper or either]*[lower or either]+` at `start`, or `start` without a match; and then the end of `[upper]*`.

    The second number is `start` if the first pattern matches.
    """
    end = at = start
    while at < stop:
        cell, after = class_at(data, at, stop, classes)
        if cell & LOWER:
            return _run(data, after, stop, classes, LOWER | EITHER), start
        if not cell & (UPPER | EITHER):
            break
        at = after
        if cell & EITHER:
            end = at
    return end, at if end == start else start


@inlined
def _run(data: Bytes, at: int, stop: int, classes: Classes, wanted: Integer) -> int:
    """The end of the run at `at` of characters with a class in `wanted`."""
    while at < stop:
        if classes[ASCII + data[at]] & wanted:
            at += 1
        elif data[at] < 0x80:
            break
        else:
            cell, after = class_at(data, at, stop, classes)
            if not cell & wanted:
                break
            at = after
    return at


@inlined
def _number(data: Bytes, at: int, stop: int, classes: Classes, digits: int) -> int:
    """The end of a number whose first digit ends at `at`."""
    for _ in range(digits - 1):
        if at == stop:
            break
        cell, after = class_at(data, at, stop, classes)
        if not cell & NUMBER:
            break
        at = after
    return at


@leaf
def _spaces(data: Bytes, at: int, stop: int, classes: Classes, lines: bool) -> int:
    """The end of the white space token at `at`.

    With `lines`, it ends behind the last newline. Without one, it ends before the last character if text follows.
    """
    newline, last = at, at
    first = at
    while at < stop:
        cell, after = class_at(data, at, stop, classes)
        if not cell & SPACE:
            break
        last, at = at, after
        if cell & NEWLINE:
            newline = after
    if lines and newline > first:
        return newline
    return last if at < stop and last > first else at


@leaf
def _contraction(data: Bytes, at: int, stop: int, any_case: bool) -> int:
    """The end of 's, 't, 'm, 'd, 're, 've or 'll with its apostrophe at `at`; `at` if there is none.

    With `any_case`, capitals match too, and U+017F (long s) folds to s.
    """
    if at + 1 >= stop:
        return at
    fold = np.uint8(0x20 if any_case else 0)
    first = data[at + 1] | fold
    if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:
        return at + 2
    if at + 2 >= stop:
        return at
    second = data[at + 2] | fold
    if (first == 0x6C and second == 0x6C) or ((first == 0x72 or first == 0x76) and second == 0x65):
        return at + 3
    if any_case and data[at + 1] == 0xC5 and data[at + 2] == 0xBF:
        return at + 3
    return at
