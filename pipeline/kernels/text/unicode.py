"""What the normaliser does with each code point, as a two-level table made from `unicodedata`.

Purpose: kernels cannot ask `unicodedata`; they look up `cells[pages[code >> 8] + (code & 255)]` instead.
Guarantee: each cell says what the recipe does with that character alone (a test compares all 0x110000).
Cost: built once per process in about 0.1 s; less than 500 kB. Tables are arguments of kernels, never globals: a global array
would be compiled into the code and could not be cached.

The recipe, per character: lower the case; decimal digits (category Nd) and the separators between them are numbers;
punctuation (categories P*, the ASCII symbols, control characters) and white space separate words; any other character is
decomposed canonically and loses its nonspacing marks (category Mn). Both small sigmas fold to one, because lowering a whole
string turns a capital sigma into either of them, depending on its place in the word; so equal words stay equal.
"""

from __future__ import annotations

import functools
import sys
import unicodedata
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.text.code_points import assigned, two_level

LETTER = 0
"""Part of a word; the payload is the code point to write, or 0 for the character itself."""
SOLO = 1
"""A word by itself, in scripts written without spaces; payload as for LETTER."""
SPACE = 2
"""White space or punctuation, which ends a word."""
DIGIT = 3
SEPARATOR = 4
"""Joins two numbers into one if it stands alone between digits; otherwise treated as SPACE."""
MARK = 5
"""Removed from the text."""
SEVERAL = 6
"""Part of a word; the payload is the index in `expansions` of a count, which that many code points to write follow."""

KIND_SHIFT = 24
PAYLOAD = (1 << KIND_SHIFT) - 1

SEPARATORS = ".,\u060c\u066b\u2396\u2397\u2398"
"""Decimal separators in the number rule of datatrove 0.10.1 (`utils/text.py`), which the recipe names as its oracle."""

UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),  # Khmer symbols
    (0x2E80, 0x2FDF),  # CJK and Kangxi radicals
    (0x3005, 0x3007),  # ideographic iteration mark, closing mark and zero
    (0x3021, 0x3029),  # Hangzhou numerals
    (0x3031, 0x3035),  # kana repeat marks
    (0x3038, 0x303C),  # Hangzhou numerals, vertical iteration and masu marks
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),  # Katakana phonetic extensions
    (0x3400, 0x4DBF),  # CJK extension A
    (0x4E00, 0x9FFF),  # CJK unified ideographs
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAA7F),  # Myanmar extended A
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFF66, 0xFF9F),  # halfwidth Katakana
    (0x1AFF0, 0x1B16F),  # kana supplements
    (0x20000, 0x323AF),  # CJK extensions B to H
)
"""Blocks of the scripts written without spaces, in which each character is a word. `unicodedata` does not know scripts."""


class NormalisationTable(NamedTuple):
    """The table as kernels take it: a named tuple, because compiled code can unpack one."""

    pages: npt.NDArray[np.int64]
    """int64 [0x1100]: where the cells of each 256 code points begin."""
    cells: npt.NDArray[np.uint32]
    """uint32 [pages * 256]: kind in the upper 8 bits, payload in the lower 24. An ASCII character's payload is never 0."""
    expansions: npt.NDArray[np.uint32]
    """uint32: count, code points, count, code points, ..."""


@functools.cache
def tables() -> NormalisationTable:
    """The tables of this interpreter's Unicode version (`unicodedata.unidata_version`)."""
    cells = np.zeros(sys.maxunicode + 1, dtype=np.uint32)
    expansions: list[int] = []
    unspaced = {code for first, last in UNSPACED for code in range(first, last + 1)}
    # Most code points are unassigned or private. Their cell stays 0: LETTER, written as itself.
    for code, character, category in assigned():
        kind, folded = fold(character, category)
        if kind == LETTER and code in unspaced:
            kind = SOLO
        if len(folded) <= 1:
            payload = ord(folded) if folded and (folded != character or code < 128) else 0
        else:
            payload = len(expansions)
            expansions += [len(folded), *map(ord, folded)]
        cells[code] = kind << KIND_SHIFT | payload
    pages, differing = two_level(cells)
    return NormalisationTable(pages=pages, cells=differing, expansions=np.array(expansions, dtype=np.uint32))


def fold(character: str, category: str) -> tuple[int, str]:
    """The kind of an assigned character (LETTER also in the unspaced scripts) and the text that is written for it."""
    if character in SEPARATORS:
        return SEPARATOR, " "
    if category == "Nd":
        return DIGIT, "0"
    if category == "Lo" and unicodedata.is_normalized("NFD", character):
        # Most characters end here: they have no case and no marks to remove.
        return LETTER, character
    ascii_symbol = category[0] == "S" and character.isascii()
    if category[0] == "P" or category == "Cc" or ascii_symbol or character.isspace():
        return SPACE, " "
    lowered = character.lower().replace("\u03c2", "\u03c3")
    kept = "".join(part for part in unicodedata.normalize("NFD", lowered) if unicodedata.category(part) != "Mn")
    if not kept:
        return MARK, ""
    return (LETTER if len(kept) == 1 else SEVERAL), kept
