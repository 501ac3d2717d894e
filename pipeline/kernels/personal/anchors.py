"""Finds the places of a text where personal data may stand, so that validators look only there.

Purpose: one pass over the bytes for all kinds of data. What it stops at: `@`, digits in groups, words of letters and digits as
identity numbers and IBAN have, hexadecimal groups between colons, and the first words of keys.
Guarantee: linear time on any bytes. Every value that the validators accept stands at an anchor; most anchors are no value.
Cost: 1 to 2 ns per byte of prose.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.personal.runs import Bytes, digit_at, digits, hexadecimal

Places = npt.NDArray[np.int64]

AT, NUMBER, WORD, COLONS, KEY = range(5)
"""Kinds of anchors: an at sign (or `[at]`, `%40`, `&#64;`); digits in groups; a word that begins with a letter and has digits;
hexadecimal groups between colons; the first word of a key."""

_LETTER, _DIGIT, _AT, _COLON, _LEAD, _HEX, _JOINS, _BACKSLASH = 1, 2, 4, 8, 16, 32, 64, 128
_WORD = _LETTER | _DIGIT

KEY_WORDS = (
    *("ghp", "gho", "ghu", "ghs", "ghr", "github", "glpat", "sk", "pk", "rk", "whsec"),
    *("xoxa", "xoxb", "xoxe", "xoxp", "xoxr", "xoxs", "xapp", "npm", "hf", "pypi", "dop", "doo", "dor"),
    *("shpat", "shpca", "shppa", "shpss", "SG", "ya29", "GOCSPX", "AGE", "lin", "gsk", "dapi"),
)
"""Words before `_`, `-` or `.` that begin a key."""
KEY_STARTS = ("AKIA", "ASIA", "ABIA", "ACCA", "AIza", "dapi")
"""Letters that begin a key of at least 20 letters and digits."""
MIN_KEY_CHARACTERS = 20
WORD_CHARACTERS = (9, 16, 18)
"""Lengths of identity numbers that begin with a letter."""


@functools.cache
def classes() -> npt.NDArray[np.uint8]:
    """uint8 [256]: the class of a byte, as a sum of the constants above."""
    table = np.zeros(256, dtype=np.uint8)
    for byte in range(128):
        table[byte] = (
            _LETTER * chr(byte).isalpha() | _DIGIT * chr(byte).isdigit() | _HEX * (chr(byte) in "0123456789abcdefABCDEF:")
        )
    table[[ord("@"), ord("%"), ord("&")]] = _AT
    table[ord("\\")] = _BACKSLASH
    table[ord(":")] |= _COLON
    table[[0xD9, 0xDB, 0xE0, 0xEF]] = _LEAD
    table[[0x2D, 0x2E, 0x5F]] = _JOINS
    return table


@functools.cache
def key_words() -> tuple[Places, Places]:
    """int64: `KEY_WORDS` and `KEY_STARTS`, each word's bytes as one number, sorted."""
    words, starts = ([int.from_bytes(word.encode(), "little") for word in group] for group in (KEY_WORDS, KEY_STARTS))
    return np.array(sorted(words), dtype=np.int64), np.array(sorted(starts), dtype=np.int64)


@inlined
def _packed(data: Bytes, at: int, size: int) -> int:
    packed = 0
    for i in range(size):
        packed |= int(data[at + i]) << (8 * i)
    return packed


@inlined
def _is_in(value: int, sorted_values: Places) -> bool:
    low, high = 0, len(sorted_values)
    while low < high:
        middle = (low + high) // 2
        if sorted_values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low < len(sorted_values) and sorted_values[low] == value


@leaf
def _is_key(data: Bytes, start: int, at: int, end: int, stop: int, words: Places, starts: Places) -> bool:
    """Whether the word [at, end) begins a key."""
    size = end - at
    if size >= MIN_KEY_CHARACTERS and _is_in(_packed(data, at, 4), starts):
        return True
    if size >= 10 and data[at] == 0x65 and data[at + 1] == 0x79 and data[at + 2] == 0x4A:  # eyJ, `{"` in base64
        return True
    if end >= stop or size > 6 or size < 2:
        return False
    behind = data[end]
    if behind == 0x5F or behind == 0x2D or behind == 0x2E:
        return bool(_is_in(_packed(data, at, size), words))
    # -----BEGIN
    begins = size == 5 and behind == 0x20 and data[at] == 0x42 and data[at + 4] == 0x4E
    return bool(begins and at - start >= 5 and data[at - 1] == 0x2D and data[at - 5] == 0x2D)


@leaf
def _is_number(data: Bytes, at: int, end: int, stop: int, classes: Bytes) -> bool:
    """Whether the word [at, end), which begins with a letter, may be an IBAN or an identity number."""
    size = end - at
    if size >= 4 and classes[data[at + 1]] & _LETTER and classes[data[at + 2]] & classes[data[at + 3]] & _DIGIT:
        if 15 <= size <= 34:
            return True
        if size == 4 and end < stop:
            behind = data[end]
            # The next group stands behind a space, a hyphen or the end of the line.
            if behind == 0x20 or behind == 0x2D or behind == 0x0A or behind == 0x0D or behind == 0xC2 or behind == 0xE2:
                return True
    if size not in WORD_CHARACTERS:
        return False
    found = 0
    for place in range(at, end):
        found += 0x30 <= data[place] <= 0x39
    return found >= 6


@leaf
def _is_spelt(data: Bytes, start: int, at: int, end: int, stop: int) -> bool:
    """Whether the word [at, end) is `at` in any case, with a bracket before and behind it."""
    if end - at != 2 or data[at] | 0x20 != 0x61 or data[at + 1] | 0x20 != 0x74:
        return False
    if at == start or end >= stop:
        return False
    before, behind = data[at - 1], data[end]
    return bool(
        (before == 0x5B and behind == 0x5D) or (before == 0x28 and behind == 0x29) or (before == 0x7B and behind == 0x7D)
    )


@inlined
def _entity(data: Bytes, at: int, stop: int) -> int:
    """The bytes of the entity at `at`, if it stands for an at sign; else 0."""
    if at + 5 > stop or data[at + 1] != 0x23:
        return 0
    if data[at + 2] == 0x36 and data[at + 3] == 0x34 and data[at + 4] == 0x3B:
        return 5
    if at + 6 > stop or data[at + 2] | 0x20 != 0x78:
        return 0
    return 6 if data[at + 3] == 0x34 and data[at + 4] == 0x30 and data[at + 5] == 0x3B else 0


@leaf
def _escape(data: Bytes, at: int, stop: int, classes: Bytes) -> int:
    """The bytes of the escape at `at`, which ends a word as a space does: `%` and two digits, `\\n`, `\\r` or `\\t`; else 0."""
    if data[at] == 0x5C:
        behind = data[at + 1] if at + 1 < stop else 0
        return 2 if behind == 0x6E or behind == 0x72 or behind == 0x74 else 0
    if data[at] != 0x25 or at + 2 >= stop or data[at + 1] == 0x3A or data[at + 2] == 0x3A:
        return 0
    return 3 if classes[data[at + 1]] & classes[data[at + 2]] & _HEX else 0


@leaf
def _is_at(data: Bytes, start: int, at: int, stop: int, classes: Bytes) -> int:
    """The bytes of the at sign at `at`, if an address may stand around it; else 0.

    It is `@`, U+FF20, `%40` as in addresses, or `&#64;` or `&#x40;` as in HTML.
    """
    byte = data[at]
    if byte == 0x40:
        size = 1
    elif at + 2 >= stop:
        return 0
    elif byte == 0x25:
        size = 3 if data[at + 1] == 0x34 and data[at + 2] == 0x30 else 0
    elif byte == 0x26:
        size = _entity(data, at, stop)
    else:
        size = 3 if byte == 0xEF and data[at + 1] == 0xBC and data[at + 2] == 0xA0 else 0
    if size == 0 or at == start or at + size >= stop:
        return 0
    before, behind = data[at - 1], data[at + size]
    if before <= 0x20 or not (classes[behind] & _WORD or behind >= 0x80 or behind == 0x5B):
        return 0
    return size


@njit(nogil=True, cache=True)
def anchors(
    data: Bytes,
    offsets: Places,
    every: bool,
    classes: Bytes,
    words: Places,
    starts: Places,
    rows: Places,
    kinds: Bytes,
    begins: Places,
    ends: Places,
) -> int:
    """Find the anchors of the texts `data[offsets[i]:offsets[i + 1]]`, in their order.

    every: also digits in groups that are only as many as a telephone number has. classes: see `classes`. words, starts: see
    `key_words`. rows, kinds, begins, ends: receive the text's number, the kind, and the bytes of the anchor, counted from the
    beginning of its text. Returns the number of anchors. If these arrays hold fewer, call again
    with longer ones.
    """
    count = 0
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        at, known, escaped = start, start, start
        while at < stop:
            mark = classes[data[at]]
            if mark & (_LETTER | _DIGIT | _AT | _COLON | _LEAD | _BACKSLASH) == 0:
                at += 1
                continue
            kind, begin, end, after = -1, at, at, at + 1
            if mark & _LETTER:
                seen = mark
                while after < stop:
                    mark = classes[data[after]]
                    if mark & _WORD == 0:
                        break
                    seen |= mark
                    after += 1
                end = after
                size = end - at
                # Most words are no key, and it takes one test to see that.
                may = size >= 10 or size == 5 or (size <= 6 and mark & _JOINS != 0)
                if may and _is_key(data, start, at, end, stop, words, starts):
                    kind = KEY
                elif seen & _DIGIT and _is_number(data, at, end, stop, classes):
                    kind = WORD
                elif size == 2 and _is_spelt(data, start, at, end, stop):
                    kind = AT
            elif mark & _COLON:
                if at >= known:
                    begin, end, fits = hexadecimal(data, escaped, at, stop, classes, _HEX)
                    known = end
                    kind = COLONS if fits else -1
            elif mark & (_AT | _BACKSLASH):
                size = _is_at(data, start, at, stop, classes) if mark & _AT else 0
                if size > 0:
                    kind, end = AT, at + size
                size = _escape(data, at, stop, classes)
                if size > 0:
                    after = escaped = at + size
            elif digit_at(data, at, stop) > 0:
                end, total, fits = digits(data, at, stop)
                after = end
                if fits or (every and total >= 7):
                    kind = NUMBER
            elif data[at] == 0xEF:
                size = _is_at(data, start, at, stop, classes)
                if size > 0:
                    kind, end = AT, at + size
            if kind >= 0:
                if count < len(rows):
                    rows[count], kinds[count], begins[count], ends[count] = row, kind, begin - start, end - start
                count += 1
            at = after
    return count
