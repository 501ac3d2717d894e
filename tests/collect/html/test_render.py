"""Kept blocks as plain text and as Markdown."""

from __future__ import annotations

import html
import random
from html.entities import html5

import numpy as np
import pytest

from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.kernels.html import names as n

NUMBERS = ("0", "9", "80", "99", "d800", "110000", "fdd0", "ffff", "1", "1f600", "41")
LISTS = "<ul><li>one<ul><li>nested<ol><li>deep</ol></ul><li><p>two</p><p>more</p></ul><ol><li>a<li>b</ol>"
TABLE = "<table><caption>Sizes</caption><tr><th>A<th>B<th>C<tr><td>1<td><td>3|4<tr><td><p>x</p><p>y</p><td>z</table>"
LAYOUT = f"<table><tr><td>Menu<td><p>{'Long text. ' * 100}</p><tr><td>Foot<td>Note</table>"


@pytest.mark.parametrize(
    ("page", "plain", "markdown"),
    [
        ("<h2>A<br>b</h2><p>text", "A\nb\n\ntext", "## A b\n\ntext"),
        (
            LISTS,
            "one\nnested\ndeep\ntwo\nmore\na\nb",
            "- one\n    - nested\n        1. deep\n- two\n\n    more\n\n1. a\n2. b",
        ),
        (
            TABLE,
            "Sizes\n\nA\tB\tC\n1\t\t3|4\nx y\tz",
            "Sizes\n\n| A | B | C |\n| --- | --- | --- |\n| 1 |  | 3\\|4 |\n| x y | z |  |",
        ),
        ("<pre><code>def f():\n    return 1\n</code></pre>", "def f():\n    return 1", "```\ndef f():\n    return 1\n```"),
        ("<pre>a\n```\nb</pre>", "a\n```\nb", "````\na\n```\nb\n````"),
        ("<ul><li>x<pre>a\n b</pre></ul>", "x\n\na\n b", "- x\n\n    ```\n    a\n     b\n    ```"),
        ("<blockquote><p>a<br>b<ul><li>c</ul></blockquote>d", "a\nb\n\nc\n\nd", "> a  \n> b\n\n> - c\n\nd"),
        ("H<sub>2</sub>O, 10<sup>5</sup>, <code>x = 1</code>.", "H2O, 105, x = 1.", "H<sub>2</sub>O, 10<sup>5</sup>, `x = 1`."),
        ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", "a\nb\nc\nd", "a\nb\nc\nd"),
        ("<p>&nbsp;<p>a<p>\u200b<p>b", "a\n\nb", "a\n\nb"),
        ("<img alt='a picture'><p>a<input value='b'>", "a", "a"),
    ],
)
def test_structure(page: str, plain: str, markdown: str) -> None:
    blocks = blocks_of(page)
    assert blocks.text() == plain
    assert blocks.text(markdown=True) == markdown


def test_layout_tables_are_paragraphs() -> None:
    text = blocks_of(LAYOUT).text()
    assert "\t" not in text
    assert text.startswith("Menu\nLong text.")
    assert "|" not in blocks_of(LAYOUT).text(markdown=True)


def test_only_kept_blocks_are_written() -> None:
    blocks = blocks_of("<p>a<p>b<p>c")
    assert blocks.text(np.array([True, False, True])) == "a\n\nc"
    assert blocks.text(np.zeros(3, np.bool_)) == ""


@pytest.mark.parametrize("seed", range(4))
def test_references_are_those_of_python(seed: int) -> None:
    rng = random.Random(seed)
    names = sorted(html5)
    for _ in range(300):
        name = rng.choice(names)
        kinds = (
            f"&{name}",
            f"&{name.rstrip(';')}{rng.choice('xX1;=')}",
            f"&{name[: rng.randrange(len(name) + 1)]}",
            f"&#{rng.choice(('', 'x', 'X'))}{rng.choice(NUMBERS)}",
            f"&{'#' * rng.randrange(3)}{rng.choice('xX;&ag')}",
        )
        source = "".join(f"{rng.choice(kinds)}{rng.choice((';', '', '!', '9'))}" for _ in range(4))
        resolved = html.unescape(source)
        assert blocks_of(f"<pre>-{source}-</pre>").text() == f"-{resolved}-".replace("\r", "\n"), source


def test_hashes_of_names_differ() -> None:
    names = [*n.TAGS, *n.ROLES, *html5]
    assert len({n.name_hash(name) for name in names}) == len(set(names))
    assert len(n.TAGS) < n.UNKNOWN
    assert len(n.KEYWORDS) <= 64
