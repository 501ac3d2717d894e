"""What belongs to kept blocks: lists and tables of which half is kept, and what stands between two kept blocks."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.collect.html import whole_oracle
from tests.collect.html.test_scan import PARTS
from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.collect.html.main import main_text
from tokenmill.pipeline.collect.html.whole import whole
from tokenmill.pipeline.kernels.html.whole import MOST_BETWEEN, SMALL_PAGE

PROSE = "It goes on for a while, as articles do, and says a lot of things that a reader of the page sees at once. " * 3
MENU = "<nav>" + "menu " * SMALL_PAGE + "</nav>"


@pytest.mark.parametrize(
    ("page", "kept", "expected"),
    [
        ("<p>a long one</p><h2>b</h2><p>a long one</p><p>after</p>", {0, 2}, {0, 1, 2}),
        ("<p>a</p><p><a href=x>link</a></p><p>c</p>", {0, 2}, {0, 2}),
        ("<p>a</p><nav>menu</nav><p>c</p>", {0, 2}, {0, 2}),
        ("<p>a</p><p hidden>b</p><p>c</p>", {0, 2}, {0, 2}),
        ("<div><p>a</p></div><p>b</p><p>c</p>", {0, 2}, {0, 2}),
        ("<p>a</p><div><pre>b</pre></div><div><p>c</p></div>", {0, 2}, {0, 1, 2}),
        ("<p>a</p>" + "<p>b</p>" * MOST_BETWEEN + "<p>c</p>", {0, 7}, set(range(8))),
        ("<p>a</p>" + "<p>b</p>" * (MOST_BETWEEN + 1) + "<p>c</p>", {0, 8}, {0, 8}),
        ("<ul><li>a longer item<li>b<li>c</ul><p>after</p>", {0}, {0, 1, 2}),
        ("<ul><li>a<li>a longer item<li>c</ul>", {0}, {0}),
        ("<ul><li>an item<li><a href=x>and its link</a></ul>", {0}, {0}),
        ("<table><tr><td>some words<td>1<tr><td>more<td>2</table>", {0, 2}, {0, 1, 2, 3}),
        ("<p>a</p><p>b</p>", set(), set()),
        ("", set(), set()),
    ],
)
def test_what_belongs_to_kept_blocks(page: str, kept: set[int], expected: set[int]) -> None:
    blocks = blocks_of(page + MENU)
    given = np.array([at in kept for at in range(len(blocks))], np.bool_)
    assert set(np.flatnonzero(whole(blocks.found, given)).tolist()) == expected


def test_a_list_and_code_within_an_article_are_kept() -> None:
    prose = f"<p>{PROSE}</p>" * 3
    text = main_text(f"<body><article>{prose}<ul><li>one<li>two</ul>{prose}<pre>a = 1</pre>{prose}</article>").text
    assert "\n\none\ntwo\n\n" in text
    assert "\n\na = 1\n\n" in text


@pytest.mark.parametrize("language", ["A", "不", "د"])
def test_of_a_page_of_a_few_lines_all_is_kept(language: str) -> None:
    main = f"<h1>{language}h</h1><p>p{language}<ul><li>i<li>j<b>€</b></ul><pre>x = 1</pre><p><a href=x>a link and no more</a>"
    blocks = blocks_of(f"<nav><a href=x>menu</a></nav>{main}<footer>foot</footer>")
    kept = whole(blocks.found, np.zeros(len(blocks), np.bool_))
    assert blocks.text(kept) == f"{language}h\n\np{language}\n\ni\nj€\n\nx = 1"


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_a_plain_twin(seed: int) -> None:
    rng = random.Random(seed)
    parts = [*PARTS, *["<p>a <a>bc</a>", "<ul><li>a<li>b", "<table><tr><td>a<td>b", "<p hidden>a", "</div><p>", PROSE] * 9]
    for _ in range(60):
        blocks = blocks_of("".join(rng.choices(parts, k=rng.randrange(150))))
        for share in (0.0, 0.1, 0.5, 0.9):
            kept = np.array([rng.random() < share for _ in range(len(blocks))], np.bool_)
            assert whole(blocks.found, kept).tolist() == whole_oracle.whole(blocks.found, kept).tolist()
