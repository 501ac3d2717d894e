"""The table is `unicodedata` and the recipe, for every code point there is."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.kernels.text import unicode
from tokenmill.pipeline.kernels.text.normalise import GROWTH
from tokenmill.pipeline.kernels.text.unicode import KEPT, Folding
from tokenmill.pipeline.stages.dedup.normalisation import NORMALISATIONS

FINEWEB = NORMALISATIONS["fineweb@1"]


def entry(code: int, folding: Folding) -> tuple[int, str]:
    """Kind and folding of a code point inside a word, read from the table as the kernels read it."""
    tables = unicode.tables(folding)
    cell = int(tables.cells[tables.pages[code >> 8] + (code & 0xFF)])
    kind, payload = cell >> unicode.KIND_SHIFT, cell & unicode.PAYLOAD
    if kind == unicode.MARK:
        return kind, chr(payload) if payload else ""
    if kind == unicode.CAPITAL:
        payload += 1 + int(tables.expansions[payload])
    if kind in (unicode.SEVERAL, unicode.SEVERAL_SOLO, unicode.CAPITAL):
        count = int(tables.expansions[payload])
        return kind, "".join(map(chr, tables.expansions[payload + 1 : payload + 1 + count]))
    return kind, " " if kind == unicode.OPERATOR else chr(payload or code)


@pytest.fixture(scope="module", params=[KEPT, FINEWEB], ids=["plain", "fineweb"])
def folding(request: pytest.FixtureRequest) -> Folding:
    found: Folding = request.param
    return found


@pytest.fixture(scope="module")
def entries(folding: Folding) -> list[tuple[int, str]]:
    return [entry(code, folding) for code in range(sys.maxunicode + 1)]


def test_every_code_point_folds_as_the_recipe_says(entries: list[tuple[int, str]], folding: Folding) -> None:
    for page in range(0, sys.maxunicode + 1, 256):
        codes = [code for code in range(page, page + 256) if not 0xD800 <= code < 0xE000]
        text = "".join(map(chr, codes))
        if all(unicodedata.category(character) in ("Cn", "Co") for character in text):
            # Most of the code space: the recipe, which asks for properties that all of it shares, leaves a page as it is.
            if page % (16 * 256) == 0:
                assert oracle.normalised(text, folding) == text
            assert [entries[code] for code in codes] == [(unicode.LETTER, character) for character in text]
            continue
        for code in codes:
            kind, folded = entries[code]
            character = chr(code)
            if kind == unicode.OPERATOR:
                assert character in oracle.OPERATORS, hex(code)
                assert oracle.normalised(f"a{character}b", folding) == f"a{character}b", hex(code)
                continue
            # Letters on both sides, so that a space that stands for the character is not stripped.
            assert f"a{folded}b" == oracle.normalised(f"a{character}b", folding), hex(code)
            assert (kind == unicode.DIGIT) == (folding.digits and unicodedata.category(character) == "Nd"), hex(code)
            assert (kind == unicode.SEPARATOR) == (folding.digits and character in oracle.SEPARATORS), hex(code)
            spaced = character.isspace() or (oracle.is_punctuation(character, folding.what) and kind != unicode.DIGIT)
            assert (folded == " ") == spaced, hex(code)


def test_unspaced_scripts_by_block_are_those_by_name(entries: list[tuple[int, str]]) -> None:
    words = (unicode.LETTER, unicode.SOLO, unicode.SEVERAL, unicode.SEVERAL_SOLO, unicode.CAPITAL)
    for code, (kind, folded) in enumerate(entries):
        character = chr(code)
        if unicodedata.category(character)[0] in "CPZ" or kind not in words:
            continue
        alone = kind in (unicode.SOLO, unicode.SEVERAL_SOLO)
        assert alone == oracle.is_unspaced(character), hex(code)
        # With marks folded, words follow from the normalised text alone, so equal normalised texts have equal n-grams.
        own = [oracle.is_unspaced(part) for part in folded if not oracle.is_mark(part)]
        assert [alone] * len(own) == own, hex(code)


def test_no_character_grows_beyond_the_buffer(entries: list[tuple[int, str]]) -> None:
    for code, (_, folded) in enumerate(entries):
        if not 0xD800 <= code < 0xE000:
            assert len(folded.encode()) <= GROWTH * len(chr(code).encode()), hex(code)


def test_folding_twice_changes_nothing_more(entries: list[tuple[int, str]], folding: Folding) -> None:
    again = [
        code
        for code, (kind, folded) in enumerate(entries)
        if kind in (unicode.LETTER, unicode.SOLO) and entries[ord(folded)] != (kind, folded)
    ]
    # These decompose to punctuation (accents, = < > with a stroke, angle brackets), and the recipe decomposes last.
    assert again == TWICE[folding]


TWICE = {KEPT: [0x1FEF], FINEWEB: [0x37E, 0x1FEF, 0x1FFD, 0x2260, 0x226E, 0x226F, 0x2329, 0x232A]}


def test_tables_are_small_and_made_once() -> None:
    tables = unicode.tables()
    assert tables is unicode.tables()
    assert tables.cells.nbytes + tables.pages.nbytes + tables.expansions.nbytes < 500_000
    assert tables.cells.dtype == np.uint32
