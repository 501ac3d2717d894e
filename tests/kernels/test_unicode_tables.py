"""The table is `unicodedata` and the recipe, for every code point there is."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.kernels.text import unicode
from tokenmill.pipeline.kernels.text.normalise import GROWTH


def entry(code: int) -> tuple[int, str]:
    """Kind and folding of a code point, read from the table as the kernels read it."""
    tables = unicode.tables()
    cell = int(tables.cells[tables.pages[code >> 8] + (code & 0xFF)])
    kind, payload = cell >> unicode.KIND_SHIFT, cell & unicode.PAYLOAD
    if kind == unicode.MARK:
        return kind, ""
    if kind == unicode.SEVERAL:
        count = int(tables.expansions[payload])
        return kind, "".join(map(chr, tables.expansions[payload + 1 : payload + 1 + count]))
    return kind, chr(payload or code)


@pytest.fixture(scope="module")
def entries() -> list[tuple[int, str]]:
    return [entry(code) for code in range(sys.maxunicode + 1)]


def test_every_code_point_folds_as_the_recipe_says(entries: list[tuple[int, str]]) -> None:
    for page in range(0, sys.maxunicode + 1, 256):
        codes = [code for code in range(page, page + 256) if not 0xD800 <= code < 0xE000]
        text = "".join(map(chr, codes))
        if all(unicodedata.category(character) in ("Cn", "Co") for character in text):
            # Most of the code space: the recipe leaves a whole page of it as it is.
            assert oracle.normalised(text) == text
            assert [entries[code] for code in codes] == [(unicode.LETTER, character) for character in text]
            continue
        for code in codes:
            kind, folded = entries[code]
            character = chr(code)
            # Letters on both sides, so that a space that stands for the character is not stripped.
            assert f"a{folded}b" == oracle.normalised(f"a{character}b"), hex(code)
            assert (kind == unicode.DIGIT) == (unicodedata.category(character) == "Nd"), hex(code)
            assert (kind == unicode.SEPARATOR) == (character in oracle.SEPARATORS), hex(code)
            assert (kind == unicode.MARK) == (folded == ""), hex(code)
            spaced = character.isspace() or oracle.is_punctuation(character)
            assert (kind in (unicode.SPACE, unicode.SEPARATOR)) == spaced, hex(code)


def test_unspaced_scripts_by_block_are_those_by_name(entries: list[tuple[int, str]]) -> None:
    for code, (kind, folded) in enumerate(entries):
        character = chr(code)
        if unicodedata.category(character) in ("Cn", "Co", "Cs") or kind not in (unicode.LETTER, unicode.SOLO, unicode.SEVERAL):
            continue
        assert (kind == unicode.SOLO) == oracle.is_unspaced(character), hex(code)
        # Words follow from the normalised text alone, so equal normalised texts have equal n-grams.
        assert [kind == unicode.SOLO] * len(folded) == [oracle.is_unspaced(part) for part in folded], hex(code)


def test_no_character_grows_beyond_the_buffer(entries: list[tuple[int, str]]) -> None:
    for code, (_, folded) in enumerate(entries):
        if not 0xD800 <= code < 0xE000:
            assert len(folded.encode()) <= GROWTH * len(chr(code).encode()), hex(code)


def test_folding_twice_changes_nothing_more(entries: list[tuple[int, str]]) -> None:
    again = [
        code
        for code, (kind, folded) in enumerate(entries)
        if kind in (unicode.LETTER, unicode.SOLO) and entries[ord(folded)] != (kind, folded)
    ]
    # These decompose to ASCII symbols (grave accent, = < > with a stroke), and the recipe decomposes last.
    assert again == [0x1FEF, 0x2260, 0x226E, 0x226F]


def test_tables_are_small_and_made_once() -> None:
    tables = unicode.tables()
    assert tables is unicode.tables()
    assert tables.cells.nbytes + tables.pages.nbytes + tables.expansions.nbytes < 500_000
    assert tables.cells.dtype == np.uint32
