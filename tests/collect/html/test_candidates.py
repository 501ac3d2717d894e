"""What is stored of a page's blocks: choosing from it, its bytes, and the characters that blocks add to a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from tokenmill.pipeline.collect.html import choose, page, render
from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.collect.html.candidates import COLUMNS, FACTS, unpacked
from tokenmill.pipeline.collect.html.choose import EVERYTHING
from tokenmill.pipeline.collect.html.extraction import Extraction

ARTICLE = "<nav><a href=/>Home</a></nav>" + EVERYTHING * 3 + "<footer>Imprint</footer>"
DATA = '<script type="application/ld+json">{"@type": "Article", "articleBody": "%s"}</script>' % ("some words " * 30)


@pytest.mark.parametrize("bias", [-20, -1.5, 0, 1.5, 20])
def test_what_is_stored_chooses_as_the_extraction_did(bias: float) -> None:
    stored = unpacked(page.read(ARTICLE, Extraction(extract_scores=True)).scores)
    kept = choose.kept(stored.candidates, bias)
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


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values[:-1],
        lambda values: values[:FACTS],
        lambda values: np.concatenate((values[:FACTS], [])),
        lambda values: np.where(np.arange(len(values)) == 0, -1, values),
        lambda values: np.where(np.arange(len(values)) == 2, -2, values),
        lambda values: np.where(np.arange(len(values)) == len(values) - 1, -1, values),
    ],
)
def test_bytes_that_no_page_gives_are_refused(spoil: Callable[[np.ndarray], np.ndarray]) -> None:
    values = np.frombuffer(page.read(ARTICLE, Extraction(extract_scores=True)).scores, "<i4")
    with pytest.raises(ValueError, match="scores of blocks"):
        unpacked(spoil(values).astype("<i4").tobytes())
    blocks = (len(values) - FACTS) // (len(COLUMNS) + 1)
    for column, name in enumerate(COLUMNS):
        spoiled = values.copy()
        spoiled[FACTS + column * blocks] = -1
        if name in ("scores", "fits"):
            unpacked(spoiled.tobytes())
        else:
            with pytest.raises(ValueError, match="out of bounds"):
                unpacked(spoiled.tobytes())


def test_bytes_are_those_that_were_packed() -> None:
    data = page.read(ARTICLE, Extraction(extract_scores=True)).scores
    found = unpacked(data)
    assert found.packed(found.rival) == data
    assert len(data) == 4 * (FACTS + len(blocks_of(ARTICLE)) * (len(dataclasses.fields(found.candidates)) + 1))
