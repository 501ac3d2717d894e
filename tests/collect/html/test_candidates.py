"""What is stored of a page's blocks: choosing from it, its bytes, and the characters that blocks add to a text."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.collect.html.test_scan import PARTS
from tokenmill.pipeline.collect.html import choose, page, render
from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.collect.html.candidates import COLUMNS, FACTS, Candidates, PageScores, unpacked
from tokenmill.pipeline.collect.html.choose import EVERYTHING
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.html.whole import whole

ARTICLE = "<nav><a href=/>Home</a></nav>" + EVERYTHING * 3 + "<footer>Imprint</footer>"
DATA = '<script type="application/ld+json">{"@type": "Article", "articleBody": "%s"}</script>' % ("some words " * 30)


@pytest.mark.parametrize("bias", [-20, -1.5, 0, 1.5, 20])
def test_what_is_stored_chooses_as_the_extraction_did(bias: float) -> None:
    stored = unpacked(page.read(ARTICLE, Extraction(extract_scores=True)).scores)
    kept = choose.kept(stored.candidates(), bias)
    made = page.read(ARTICLE, Extraction(extract_bias=bias))
    assert blocks_of(ARTICLE).text(kept) == made.main.text
    assert int(stored.shown[kept].sum()) == made.main.characters
    assert (stored.prose, stored.visible) == (made.main.prose, made.main.visible)
    assert made.scores == b""


def test_characters_of_blocks_are_those_of_any_text_that_is_made_of_them() -> None:
    blocks = blocks_of(ARTICLE)
    shown = render.characters(blocks.page, blocks.found)
    assert shown.sum() == len("".join(blocks.text(np.ones(len(blocks), np.bool_)).split()))
    draw = np.random.default_rng(5)
    for _ in range(50):
        kept = draw.random(len(blocks)) < 0.5
        assert shown[kept].sum() == len("".join(blocks.text(kept).split()))


def test_data_of_a_page_are_known_as_the_rival_of_its_text() -> None:
    how = Extraction(extract_scores=True)
    facts = [unpacked(page.read(html, how).scores) for html in (f"<p>short{DATA}", DATA + "<p>long words " * 200, "<p>short")]
    assert [one.embedded for one in facts] == [270, -1, -1]
    assert [one.rival for one in facts] == [329, 329, 0]
    visible = unpacked(page.read(f"<p>{'some words ' * 30}{DATA}", how).scores)
    assert visible.rival == -329


@pytest.mark.parametrize("name", COLUMNS)
def test_numbers_that_no_page_has_are_refused(name: str) -> None:
    data = page.read(ARTICLE, Extraction(extract_scores=True)).scores
    values = np.frombuffer(data, "<i4")
    blocks = (len(values) - len(FACTS)) // len(COLUMNS)
    for wrong in (-1, blocks + 1):
        spoiled = values.copy()
        spoiled[len(FACTS) + COLUMNS.index(name) * blocks] = wrong
        if name == "scores" or (wrong > 0 and name not in ("tables", "lists")):
            unpacked(spoiled.tobytes())
        else:
            with pytest.raises(ValueError, match="out of bounds"):
                unpacked(spoiled.tobytes())
    for place, wrong in enumerate((-1, -1, -2)):
        spoiled = values.copy()
        spoiled[place] = wrong
        with pytest.raises(ValueError, match="out of bounds"):
            unpacked(spoiled.tobytes())
    for cut in (1, 4, len(data) - 8):
        with pytest.raises(ValueError, match="."):
            unpacked(data[:-cut])


def test_bytes_are_those_that_were_packed() -> None:
    data = page.read(ARTICLE, Extraction(extract_scores=True)).scores
    assert unpacked(data).packed() == data
    assert len(data) == 4 * (len(FACTS) + len(COLUMNS) * len(blocks_of(ARTICLE)))


def test_a_stored_page_is_completed_as_the_page_itself() -> None:
    """Lists and tables by their numbers, and which element ends where, do the same as the tables of a scan."""
    draw = random.Random(2)
    for _ in range(60):
        blocks = blocks_of("".join(draw.choices([*PARTS, EVERYTHING, "<ul><li>a<li>b", "<table><tr><td>a<td>b"], k=60)))
        zeros = np.zeros(len(blocks), np.int32)
        page_of = Candidates(found=blocks.found, scores=zeros, sizes=zeros + 1)
        stored = unpacked(PageScores.of(page_of, zeros, prose=0, visible=0).packed()).candidates()
        for share in (0.0, 0.1, 0.5, 0.9):
            kept = np.array([draw.random() < share for _ in range(len(blocks))], np.bool_)
            assert whole(stored.found, kept).tolist() == whole(blocks.found, kept).tolist()
