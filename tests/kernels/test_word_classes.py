"""The table of classes is `str` and `unicodedata`, for every code point there is."""

from __future__ import annotations

import re
import sys
import unicodedata

from tests.kernels import word_oracle as oracle
from tokenmill.pipeline.kernels.words import classes, expressions

LETTER = re.compile(r"[^\W\d_]")
ALPHANUMERIC = re.compile(r"[^\W_]")


def test_every_code_point_has_the_classes_that_python_says() -> None:
    table = classes.tables().classes
    for page in range(0, sys.maxunicode + 1, 256):
        begin = int(table[page >> 8])
        for code, bits in enumerate(table[begin : begin + 256].tolist(), page):
            character = chr(code)
            category = unicodedata.category(character)
            if category in ("Cn", "Co", "Cs"):
                assert bits & ~(classes.SYMBOLIC | classes.END_MARK) == 0, hex(code)
                continue
            expected = {
                classes.ALPHABETIC: character.isalpha(),
                classes.PUNCTUATION: category[0] == "P",
                classes.SPACE: character.isspace(),
                classes.SOLO: oracle.is_unspaced(character),
                classes.MARK: category[0] == "M",
                classes.UPPER: character.isupper(),
                classes.LOWER: character.islower(),
                classes.LETTER: LETTER.match(character) is not None,
                classes.ALPHANUMERIC: ALPHANUMERIC.match(character) is not None,
                classes.SYMBOL: category == "So",
            }
            for bit, holds in expected.items():
                assert (bits & bit != 0) == holds, (hex(code), bit)


def test_ascii_stands_where_kernels_look_for_it() -> None:
    table = classes.tables().classes
    begin = int(table[0])
    assert table[classes.ASCII : classes.ASCII + 128].tolist() == table[begin : begin + 128].tolist()


def test_tables_are_small_and_made_once() -> None:
    assert classes.tables() is classes.tables()
    assert sum(part.nbytes for part in classes.tables()) < 500_000


def test_no_letter_is_a_symbol() -> None:
    """What the common case of the splitter takes for granted."""
    assert not [character for character in classes.SYMBOLS | classes.SENTENCE_END if character.isalpha()]


def test_every_expression_is_found_and_short_enough() -> None:
    slots = expressions.table().reshape(-1, 2)
    known = {expression for expression, _ in expressions._expressions()}
    assert (slots[:, 0] != 0).sum() == len(known)
    assert max(len(expression.encode()) for expression in known) == expressions.MOST_BYTES
    assert len(known) < expressions.SLOTS // 2
