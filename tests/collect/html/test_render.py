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
        ("<p>&nbsp;<p>a<p> <p>b", "a\n\nb", "a\n\nb"),
        ("<img alt='a picture'><p>a<input value='b'>", "a", "a"),
    ],
)
def test_structure(page: str, plain: str, markdown: str) -> None:
    blocks = blocks_of(page)
    assert blocks.text() == plain
    assert blocks.text(markdown=True) == markdown


@pytest.mark.parametrize(
    ("page", "markdown"),
    [
        ("<ol start=3><li>a<li value=10>b<li>c</ol>", "3. a\n10. b\n11. c"),
        ("<ol reversed><li>a<li>b<li>c</ol>", "3. a\n2. b\n1. c"),
        ("<ol start=' +7x'><li>a</ol><ol start=-1><li>b<li>c</ol>", "7. a\n- b\n0. c"),
        ("<ul><li>a<ul><li>b</ul>c</li><li>d</ul>", "- a\n    - b\n\n    c\n\n- d"),
        ("<ul><li><ul><li>deep<li>er</ul></ul>", "- deep\n- er"),
        ("<ol><li><pre>a\n b</pre>then<li>c</ol>", "1.  ```\n    a\n     b\n    ```\n\n    then\n\n2. c"),
        ("<ul><li>a<blockquote>b<br>c</blockquote></ul>", "- a\n\n    > b  \n    > c"),
        ("<blockquote><ul><li>a<p>b</ul></blockquote>", "> - a\n\n>     b"),
        ("<ul><li>a<dl><dt>b<dd>c</dl></ul>", "- a\n\n    b\n\n    c"),
        ("<code>a`b</code><code>c</code> <code>d</code>", "<code>a`bc</code> `d`"),
        ("<b>bold</b>, <i>italic</i>, <a href=x>link</a>, 2 * 3_4", "bold, italic, link, 2 * 3_4"),
    ],
)
def test_markdown(page: str, markdown: str) -> None:
    assert blocks_of(page).text(markdown=True) == markdown


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<tr><td colspan=2>wide<td>x<tr><td>1<td>2<td>3", "wide\t\tx\n1\t2\t3"),
        ("<tr><td rowspan=2>tall<td>1<tr><td>2<tr><td>3<td>4", "tall\t1\n\t2\n3\t4"),
        ("<tr><td rowspan=0>all<td>1<tr><td>2<tr><td>3", "all\t1\n\t2\n\t3"),
        ("<thead><th>A<th>B</thead><tbody><tr><td>1<td>2", "A\tB\n1\t2"),
        ("<tr><td>k<td><pre>a</pre><tr><td>l<td>m", "k\ta\nl\tm"),
        ("<tr><td>k<td><pre>a\nb</pre><tr><td>l<td>m", "k\n\na\nb\n\nl\nm"),
        (f"<tr><th>k<td>{'long ' * 100}<tr><th>l<td>m", f"k\t{('long ' * 100).strip()}\nl\tm"),
        ("<tr><td colspan=99999999999>a<td>b<tr><td rowspan=-3>1<td>2", "a" + "\t" * 99 + "b\n1\t2"),
    ],
)
def test_cells_stand_in_their_columns(page: str, text: str) -> None:
    assert blocks_of(f"<table>{page}</table>").text() == text


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("<pre><code class='hljs language-js'>", "js"),
        ("<pre class='lang-c++ prettyprint'>", "c++"),
        ("<pre lang=Ruby>", "ruby"),
        ("<div class='highlight-python notranslate'><div class=highlight><pre><span></span>", "python"),
        ("<div class='highlight highlight-source-shell'><pre>", "shell"),
        ("<div class=highlight><pre class=highlight><code data-lang=go>", "go"),
        ("<pre class='brush: php; title: x'>", "php"),
        ("<pre class='sourceCode haskell'><code>", "haskell"),
        ("<figure class='highlight python'><table><tr><td class=code><pre>", "python"),
        ("<div class='highlight-default notranslate'><pre>", ""),
        ("<body class=language-en><pre>", ""),
        ("<pre class='language-a\tb`c language-``'>", "a"),
    ],
)
def test_fences_name_the_language(page: str, name: str) -> None:
    assert blocks_of(page + "x = 1").text(markdown=True) == f"```{name}\nx = 1\n```"


NUMBERED = (
    "<table><tr><td class=linenos><pre> 9\n10</pre><td class=code><pre>a\n b</pre></table>",
    "<table><tr><td class=gutter><div>9</div><div>10</div><td class=code><pre>a\n b</pre></table>",
    "<pre><span class=linenos> 9</span>a\n<span class=linenos>10</span> b</pre>",
    "<pre><code><span class='line-number'>9</span>a\n<span class=ln>10</span> b</code></pre>",
)


@pytest.mark.parametrize("page", NUMBERED)
def test_main_text_has_no_numbers_of_lines(page: str) -> None:
    blocks = blocks_of(page)
    assert blocks.text(np.ones(len(blocks), np.bool_)) == "a\n b"
    assert sorted("".join(blocks.text().split())) == sorted("910ab")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<h2>A<a class=headerlink href='#a'>¶</a></h2>", "A"),
        ("<dt>f()<a href=#f>&para;</a>", "f()"),
        ("<h2><a href='#a'>#</a> A</h2>", "A"),
        ("<h2>A<a href='#a'>\u200b</a></h2>", "A"),
        ("<p><a href='#a'>#12</a> <a href='#a'>#<b>z</b></a> <a href=/a>#</a>", "#12 #z #"),
        ("so<i>\u00ad</i>ft hy&shy;phen zero\u200bwidth \ufeffmark &#8203;&zwj;", "soft hyphen zerowidth mark \u200d"),
        ("می\u200cخواهم 👨\u200d👩 क्\u200dष ไทย\u200bภาษา", "می\u200cخواهم 👨\u200d👩 क्\u200dष ไทย\u200bภาษา"),
        ("a<wbr>b", "ab"),
        ("<p>a<p>\u200b<p>&nbsp;<p>b", "a\n\nb"),
    ],
)
def test_main_text_has_no_signs_beside_it(page: str, text: str) -> None:
    blocks = blocks_of(page)
    assert blocks.text(np.ones(len(blocks), np.bool_)) == text


def test_all_text_has_every_sign() -> None:
    page = "<h2>A<a href='#a'>¶</a></h2>so\u00adft zero\u200bwidth"
    assert blocks_of(page).text() == "A¶\n\nso\u00adft zero\u200bwidth"


def test_marks_fit_into_their_room() -> None:
    page = "<code><sub><sup>x</sup></sub></code><sub><sup>`</sup></sub><code>`</code>" * 5_000
    text = blocks_of(page).text(markdown=True)
    assert text == "`<sub><sup>x</sup></sub>`<sub><sup>`</sup></sub><code>`</code>" * 5_000


def test_layout_tables_are_paragraphs() -> None:
    text = blocks_of(LAYOUT).text()
    assert "\t" not in text
    assert text.startswith("Menu\nLong text.")
    assert "|" not in blocks_of(LAYOUT).text(markdown=True)
    assert blocks_of("<table role=presentation><tr><td>a<td>b<tr><td>c<td>d</table>").text() == "a\nb\n\nc\nd"


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
