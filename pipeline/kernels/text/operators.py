"""Tells operators of mathematics and code from the same characters as marks of layout, in UTF-8 bytes.

Purpose: `a - b` and `a + b` are different, `well-known` and `well known` are not. Where operators are kept, the normaliser asks
here of each run of `unicode.OPERATORS` whether it is one; all others are punctuation.
Guarantee: the answer depends on the text around the run alone, and equals that of the tests' oracle, which works on characters.
Cost: about 10 ns a run; a word beside a run is read once more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.unicode import KIND_SHIFT, OPERATOR
from tokenmill.pipeline.kernels.text.utf8 import Integer


@njit(nogil=True, cache=True, inline="always")
def _is_blank(byte: Integer) -> bool:
    return byte in (0x20, 0x09)


@njit(nogil=True, cache=True, inline="always")
def is_letter(byte: Integer) -> bool:
    """Whether a byte is a letter of ASCII or belongs to a character beyond."""
    return bool(byte >= 0x80 or 0x61 <= (byte | 0x20) <= 0x7A)


@njit(nogil=True, cache=True, inline="always")
def _is_word(byte: Integer) -> bool:
    """Letter, digit, underscore, quotation mark or anything beyond ASCII."""
    return bool(is_letter(byte) or 0x30 <= byte <= 0x39 or byte in (0x5F, 0x22, 0x27))


@njit(nogil=True, cache=True)
def _letters(data: npt.NDArray[np.uint8], at: int, stop: int, step: int) -> int:
    """The number of letters, at most 2, from `at` on in steps of `step` (1 or -1), up to the end of the word or `stop`."""
    count = 0
    while at != stop and count < 2 and (is_letter(data[at]) or 0x30 <= data[at] <= 0x39 or data[at] == 0x5F):
        # Of a character beyond ASCII only the first byte counts.
        count += is_letter(data[at]) and not 0x80 <= data[at] < 0xC0
        at += step
    return count


@njit(nogil=True, cache=True)
def _in_usage(data: npt.NDArray[np.uint8], start: int, stop: int, at: int, end: int) -> bool:
    """Whether the run `data[at:end]` is a hyphen or bar of alternatives, as usages of commands have them: `-v|--verbose`."""
    follows = at > start and _is_word(data[at - 1])
    if data[at] == 0x7C:
        return bool(follows and end - at > 1 and data[at + 1] == 0x2D)
    if data[at] != 0x2D or end - at > 1 or follows:
        return False
    while end < stop and _is_word(data[end]):
        end += 1
    return bool(end + 1 < stop and data[end] == 0x7C and data[end + 1] == 0x2D)


@njit(nogil=True, cache=True)
def address_end(data: npt.NDArray[np.uint8], at: int, stop: int) -> int:
    """The end of the address that goes on at `at`: at the next blank, quotation mark, angle bracket, backtick, or non-ASCII."""
    while at < stop and 0x20 < data[at] < 0x7F and data[at] not in (0x22, 0x3C, 0x3E, 0x60):
        at += 1
    return at


@njit(nogil=True, cache=True)
def is_operator(
    data: npt.NDArray[np.uint8], start: int, stop: int, at: int, end: int, first_bytes: npt.NDArray[np.uint32]
) -> bool:
    """Whether the run of operator characters `data[at:end]` stands as an operator in the document `data[start:stop]`.

    It does before a digit; between two operands with blanks on both sides of it, or on neither; before an operand, after `(` or
    another operator. An operand ends with a letter, a digit, a quotation mark or a closing bracket, and begins with one of
    the former, an opening bracket, or a sigil. A hyphen or bar beside a word of several letters is none (`well-known`, `9-day`,
    `yes|no`), nor is a slash between words of which one has several (`and/or`); `a-b`, `x1|n`, `10/total` are. What joins
    alternatives in the usage of a command is none (`-1|-HUP`). So rules, bullets and flags are punctuation: with all runs as
    words, 2 % of the short revisions in the tests that are alike at 0.8 by their words were not found.
    """
    if end == stop or _in_usage(data, start, stop, at, end):
        return False
    following = data[end]
    if 0x30 <= following <= 0x39:
        return True
    back = at - 1
    while back >= start and _is_blank(data[back]):
        back -= 1
    if back < start:
        return False
    before, spaced = data[back], back != at - 1
    forward = end
    while forward < stop and (_is_blank(data[forward]) or data[forward] in (0x0A, 0x0D)):
        forward += 1
    if forward == stop:
        return False
    after, is_spaced = data[forward], forward != end
    begins = _is_word(after) or after in (0x28, 0x5B, 0x7B, 0x24, 0x5C, 0x2E)
    if not is_spaced and begins and (before == 0x28 or first_bytes[before] >> KIND_SHIFT == OPERATOR):
        return True
    if spaced != is_spaced or not (_is_word(before) or before in (0x29, 0x5D, 0x7D)):
        return False
    if spaced:
        return begins or first_bytes[after] >> KIND_SHIFT == OPERATOR
    if end - at == 1 and data[at] in (0x2D, 0x2F, 0x7C):
        left, right = _letters(data, at - 1, start - 1, -1), _letters(data, end, stop, 1)
        return begins and after not in (0x7B, 0x2E) and (max(left, right) < 2 or (data[at] == 0x2F and min(left, right) == 0))
    return begins and after not in (0x7B, 0x2E) and data[end - 1] != 0x2D
