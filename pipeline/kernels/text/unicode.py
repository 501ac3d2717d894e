"""What the normaliser does with each code point, as a two-level table made from `unicodedata`.

Purpose: kernels cannot ask `unicodedata`; they look up `cells[pages[code >> 8] + (code & 255)]` instead.
Guarantee: each cell says what the recipe does with that character alone (a test compares all 0x110000).
Cost: built once per environment in 0.3 s, and kept; less than 500 kB. Tables are arguments of kernels, never globals: a global
array would be compiled into the code and could not be cached.

What is folded is said by a `Folding`, one property each: case, digits, marks, operators, other punctuation. White space always
separates words. Any other character is decomposed canonically, so that both spellings of an accented letter are equal. Where
case is folded, both small sigmas become one, because lowering a whole string turns a capital sigma into either of them,
depending on its place in the word; so equal words stay equal.
"""

from __future__ import annotations

import functools
import string
import sys
import unicodedata
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels import kept
from tokenmill.pipeline.kernels.text.code_points import assigned, two_level

LETTER = 0
"""Part of a word; the payload is the code point to write, or 0 for the character itself."""
SOLO = 1
"""A word by itself, in scripts written without spaces, or punctuation that is kept; payload as for LETTER."""
SPACE = 2
"""White space or folded punctuation, which ends a word."""
DIGIT = 3
"""Part of a number, which is written as 0."""
SEPARATOR = 4
"""Joins two numbers into one if it stands alone between digits; otherwise SPACE if the payload is a space, else SOLO."""
MARK = 5
"""A nonspacing mark: part of a word, written as the payload says, or removed from the text if the payload is 0."""
SEVERAL = 6
"""Part of a word; the payload is the index in `expansions` of a count, which that many code points to write follow."""
SEVERAL_SOLO = 7
"""As SEVERAL, but each of these code points is a word by itself."""
OPERATOR = 8
"""A word of its own where operands stand around it, otherwise SPACE (`normalise.is_operator`)."""
DELETED = 9
"""Removed from the text before runs of white space collapse."""
CAPITAL = 10
"""Part of a word; written in lower case where a word of several letters begins like `This`, and as it is elsewhere. The payload
is the index in `expansions` of a count and that many code points of the lower case, then of the same for the capital."""

BEYOND = 0xFF
"""The kind in `first_bytes` of bytes that are no ASCII character."""

KIND_SHIFT = 24
PAYLOAD = (1 << KIND_SHIFT) - 1

SEPARATORS = ".,\u060c\u066b\u2396\u2397\u2398"
"""Decimal separators in the number rule of datatrove 0.10.1 (`utils/text.py`)."""
OPERATORS = "+-*/%=<>&|^~!@"
"""The characters that operators of mathematics and of programming languages are made of, as far as they are ASCII. The symbols
beyond ASCII, such as \u2264, are letters for us: they are never folded."""

DATATROVE = (
    frozenset(
        map(
            chr,
            b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
        )
    )
    | frozenset(
        "\u2014\u201d\u300a\uff1a\uff05\uff11\u3008\u3001\u2501\u3010\u300c\u300d\uff0c\u3011\uff1b\u201c\u201e\u2019\u2236\u00b4"
        "\uff0e\uff08\u2013\uff1f\uff01\uff1a\uff5e\u00ab\u3009\u300b\uff09\u3002\u2026\u25ba\u00bb"
    )
    | frozenset(map(chr, (*range(9), 11, 12, *range(13, 32), *range(127, 160))))
)
"""What datatrove 0.10.1 replaces by spaces (`PUNCTUATION` of `utils/text.py`): not all punctuation there is."""

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


Punctuation = Literal["unicode", "datatrove", "ascii"]


class Folding(NamedTuple):
    """What the normaliser makes equal. The default folds white space, the punctuation of prose and first capitals."""

    case: bool | Literal["initial"] = "initial"
    """Upper case becomes lower case: everywhere, nowhere, or in the first letter of words such as `This`, which go on with a
    small letter. So `x` and `X`, `max` and `MAX` stay apart, and words at the beginning of a sentence do not."""
    digits: bool | Literal["removed"] = False
    """Numbers, with one decimal separator inside, become 0. "removed": digits are spaces."""
    marks: bool = False
    """Nonspacing marks (category Mn), such as accents and vowel points, are removed."""
    operators: bool = False
    """OPERATORS are treated as other punctuation. If False, they are words where operands stand around them."""
    punctuation: bool = True
    """If False, each punctuation character is a word, each operator too unless `operators` is True."""
    what: Punctuation = "unicode"
    """What counts as punctuation: the categories P*, the ASCII symbols and control characters; DATATROVE; or the ASCII
    punctuation, which is then deleted, so that it separates no words."""
    white_space: bool = True
    """If False, all characters stay as they are, and nothing above applies."""
    compatibility: bool = False
    """Full-width letters, ligatures and other compatibility characters become what they stand for, digits of all scripts become
    ASCII, all symbols are spaces, and format characters (category Cf), such as soft hyphens, are removed."""


KEPT = Folding()
"""The default: digits, marks, operators and the case of all but first letters are kept."""


class NormalisationTable(NamedTuple):
    """The table as kernels take it: a named tuple, because compiled code can unpack one."""

    pages: npt.NDArray[np.int64]
    """int64 [0x1100]: where the cells of each 256 code points begin."""
    cells: npt.NDArray[np.uint32]
    """uint32 [pages * 256]: kind in the upper 8 bits, payload in the lower 24. An ASCII character's payload is never 0."""
    expansions: npt.NDArray[np.uint32]
    """uint32: count, code points, count, code points, ..."""
    first_bytes: npt.NDArray[np.uint32]
    """uint32 [256]: the cells of the ASCII characters; bytes from 0x80 on begin or continue a longer one, and have BEYOND."""


@functools.cache
def tables(folding: Folding = KEPT) -> NormalisationTable:
    """The tables of this interpreter's Unicode version (`unicodedata.unidata_version`)."""
    return NormalisationTable(*kept.arrays(_tables, folding))


def _tables(folding: Folding) -> NormalisationTable:
    cells = np.zeros(sys.maxunicode + 1, dtype=np.uint32)
    expansions: list[int] = []
    unspaced = {code for first, last in UNSPACED for code in range(first, last + 1)}
    # Most code points are unassigned or private. Their cell stays 0: LETTER, written as itself.
    for code, character, category in assigned():
        kind, folded = fold(character, category, folding)
        if kind == MARK and folded:
            cells[code] = (SOLO if code in unspaced else MARK) << KIND_SHIFT | ord(folded)
            continue
        if kind == CAPITAL:
            cells[code] = kind << KIND_SHIFT | len(expansions)
            for spelling in (_decomposed(character.lower(), folding), folded):
                expansions += [len(spelling), *map(ord, spelling)]
            continue
        if kind in (LETTER, SEVERAL) and code in unspaced and folding.white_space:
            kind = SOLO if kind == LETTER else SEVERAL_SOLO
        if len(folded) <= 1:
            payload = ord(folded) if folded and (folded != character or code < 128) else 0
        else:
            payload = len(expansions)
            expansions += [len(folded), *map(ord, folded)]
        cells[code] = kind << KIND_SHIFT | payload
    pages, differing = two_level(cells)
    first_bytes = np.concatenate([cells[:0x80], np.full(0x80, BEYOND << KIND_SHIFT, dtype=np.uint32)])
    several = np.array(expansions, dtype=np.uint32)
    return NormalisationTable(pages=pages, cells=differing, expansions=several, first_bytes=first_bytes)


def fold(character: str, category: str, folding: Folding) -> tuple[int, str]:
    """The kind of an assigned character (LETTER also in the unspaced scripts) and the text that is written for it."""
    if not folding.white_space:
        return LETTER, character
    if category == "Nd" and folding.digits:
        return (SPACE, " ") if folding.digits == "removed" else (DIGIT, "0")
    if folding.compatibility:
        if category == "Cf":
            return DELETED, ""
        if category[0] == "S":
            return SPACE, " "
        if category == "Nd":
            return LETTER, str(unicodedata.decimal(character))
    if category == "Lo" and unicodedata.is_normalized("NFKD" if folding.compatibility else "NFD", character):
        # Most characters end here: they have no case and no marks to remove.
        return LETTER, character
    if character.isspace():
        return SPACE, " "
    if is_punctuation(character, category, folding.what):
        return _punctuation(character, folding)
    if character in SEPARATORS and folding.digits is True:
        return SEPARATOR, character
    lowered = character.lower().replace("\u03c2", "\u03c3") if folding.case is True else character
    kept = _decomposed(lowered, folding)
    if not kept or (category == "Mn" and len(kept) == 1):
        return MARK, kept
    if folding.case == "initial" and character.lower() != character:
        return CAPITAL, kept
    return (LETTER if len(kept) == 1 else SEVERAL), kept


def _decomposed(text: str, folding: Folding) -> str:
    decomposed = unicodedata.normalize("NFD", text)
    if folding.compatibility:
        decomposed = _compatible(decomposed)
    return "".join(part for part in decomposed if not (folding.marks and unicodedata.category(part) == "Mn"))


def _compatible(text: str) -> str:
    """What a text stands for, in small letters; the text itself if that is no word, or too long for `normalise.GROWTH`."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).lower())
    word = "".join(part for part in plain if unicodedata.category(part)[0] in "LMN")
    return word if 0 < len(word.encode()) <= 3 * len(text.encode()) else text


def is_punctuation(character: str, category: str, what: Punctuation) -> bool:
    """Whether a character that is no white space counts as punctuation."""
    if what == "datatrove":
        return character in DATATROVE
    if what == "ascii":
        return character in string.punctuation
    return character in SEPARATORS or category[0] == "P" or category == "Cc" or (category[0] == "S" and character.isascii())


def _punctuation(character: str, folding: Folding) -> tuple[int, str]:
    if folding.what == "ascii" and folding.punctuation:
        return DELETED, ""
    if character in OPERATORS:
        kept = not folding.operators
        if kept and folding.punctuation:
            return OPERATOR, character
    else:
        kept = not folding.punctuation
    if character in SEPARATORS and folding.digits is True:
        return SEPARATOR, character if kept else " "
    return (SOLO, character) if kept else (SPACE, " ")
