"""Classes of characters for splitting text into words, as a two-level table made from `unicodedata`.

Purpose: kernels look up `classes[classes[code >> 8] + (code & 255)]`, which has one bit per class. The four lowest bits are
also the flags of words (see `split`).
Guarantee: for every code point the bits agree with `str` and `unicodedata` (a test compares all 0x110000).
Cost: built once per process in about 0.1 s; less than 250 kB. Tables are arguments of kernels, never globals.

Sources: the marks are those that spaCy's English tokenizer takes off words (`spacy/lang/punctuation.py`, `char_classes.py`);
`SYMBOLS` and `TERMINAL` are the sets of datatrove 0.10.1 (`utils/text.py`); `SENTENCE_END` is that of spaCy's `sentencizer`.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels import kept
from tokenmill.pipeline.kernels.text.code_points import assigned, two_level
from tokenmill.pipeline.kernels.text.unicode import UNSPACED
from tokenmill.pipeline.kernels.words import expressions

SYMBOLIC = 1 << 0
ALPHABETIC = 1 << 1
END_MARK = 1 << 2
PUNCTUATION = 1 << 3
SPACE = 1 << 4
SOLO = 1 << 5
"""A letter of a script written without spaces."""
MARK = 1 << 6
FRONT = 1 << 7
"""Comes off the front of a word."""
BACK = 1 << 8
"""Comes off the end of a word."""
AFTER_DIGIT = 1 << 9
"""Comes off the end of a word, but only behind a digit: currencies and the plus sign."""
DIGIT = 1 << 10
"""0 to 9."""
UPPER = 1 << 11
LOWER = 1 << 12
QUOTE = 1 << 13
BEFORE_STOP = 1 << 14
"""A full stop right behind it comes off the end of a word."""
ALPHANUMERIC = 1 << 15
LETTER = 1 << 16
"""Alphanumeric, but not a decimal digit."""
INSIDE = 1 << 17
"""May split the word that it stands in."""
SYMBOL = 1 << 18
"""Category So: always a word by itself."""
SCHEME = 1 << 19
"""May stand in the scheme of an address."""
STOP = 1 << 20
"""The full stop."""

ASCII = 0x1100
"""Where in the table the classes of the 128 ASCII characters begin."""

STOP_WORDS = expressions.STOP_WORDS
TERMINAL = tuple(
    "!.?։؝؞؟۔܀܁܂߹࠷࠹࠽࠾।॥၊။።፧፨᙮᜵᜶។៕៖៙៚᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᭽᭾᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼⹓⹔。꓿"
    "꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？｡𐩖𐩗𐽕𐽖𐽗𐽘𐽙𐾆𐾇𐾈𐾉𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊"
    "𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑥄𑥆𑩂𑩃𑪛𑪜𑱁𑱂𑻷𑻸\U00011f43\U00011f44𖩮𖩯𖫵𖬷𖬸𖭄𖺘𛲟𝪈"
)
"""Marks that end a sentence, in all scripts."""
SENTENCE_END = frozenset(
    "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈｡。"
)
"""Marks after which a sentence is counted."""
SYMBOLS = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«´»–—’“”„…∶━►、。〈〉《》「」【】！％（），．１：；？～").union(
    TERMINAL, map(chr, (*range(32), *range(127, 160)))
)
"""The rules that count words do not count a word made only of these characters: it is a symbol."""

_CURRENCIES = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
_MARKS = ",:;!?()[]{}<>_#*&'\"`…¿؟¡。？！，、；：～·।،۔؛٪”“‘´’‚„»«「」『』（）〔〕【】《》〈〉⟦⟧—–"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_OF: dict[int, Iterable[str]] = {
    SYMBOLIC: SYMBOLS,
    END_MARK: SENTENCE_END,
    FRONT: _CURRENCIES + _MARKS + "§%=",
    BACK: _MARKS,
    AFTER_DIGIT: _CURRENCIES + "+",
    DIGIT: "0123456789",
    QUOTE: _QUOTES,
    BEFORE_STOP: "0123456789%²-+…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪|" + _QUOTES,
    INSIDE: ".…+-*^,–—~:<>=/",
    SCHEME: "+.-_",
    STOP: ".",
}


class Tables(NamedTuple):
    """The tables as kernels take them: a named tuple, because compiled code can unpack one."""

    classes: npt.NDArray[np.uint32]
    """uint32: where the classes of each 256 code points begin (0x1100 numbers); then the classes of ASCII, then all others."""
    expressions: npt.NDArray[np.uint64]
    """uint64 [2 * SLOTS]: the hashes and roles of the fixed expressions (see `expressions.table`)."""


@functools.cache
def tables() -> Tables:
    """The tables of this interpreter's Unicode version (`unicodedata.unidata_version`)."""
    return Tables(*kept.arrays(_tables))


def _tables() -> Tables:
    cells = np.zeros(sys.maxunicode + 1, dtype=np.uint32)
    unspaced = {code for first, last in UNSPACED for code in range(first, last + 1)}
    for code, character, category in assigned():
        found = _classes(character, category)
        cells[code] = found | SOLO if (category[0] == "L" or category == "Nl") and code in unspaced else found
    for bit, characters in _OF.items():
        for character in characters:
            cells[ord(character)] |= bit
    pages, differing = two_level(cells)
    starts = (ASCII + 256 + pages).astype(np.uint32)
    return Tables(classes=np.concatenate([starts, cells[:256], differing]), expressions=expressions.table())


def _classes(character: str, category: str) -> int:
    """The classes of an assigned character that follow from its category and the methods of `str`."""
    found = 0
    if character.isalpha():
        found = ALPHABETIC | (UPPER if character.isupper() else 0) | (LOWER if character.islower() else 0)
    elif character.isupper():
        found = UPPER
    elif character.islower():
        found = LOWER
    if character.isalnum():
        found |= ALPHANUMERIC | SCHEME | (0 if character.isdecimal() else LETTER)
    elif category == "So":
        found |= FRONT | BACK | SYMBOL | INSIDE
    if character.isspace():
        found |= SPACE
    if category[0] == "P":
        found |= PUNCTUATION
    elif category[0] == "M":
        found |= MARK
    return found
