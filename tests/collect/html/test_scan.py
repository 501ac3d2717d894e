"""The scan of HTML agrees with a plain twin, takes time linear in the page, and loses no character."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.parse.html import HTMLTree, NodeType

from tests.collect.html import scan_oracle
from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.charset.decode import decode
from tokenmill.pipeline.collect.html.blocks import blocks_of
from tokenmill.pipeline.kernels.html import columns as c
from tokenmill.pipeline.kernels.html import names as n

PARTS = (
    *(f"<{tag}>" for tag in n.TAGS if tag not in ("plaintext", "xmp", "script", "annotation")),
    *(f"</{tag}>" for tag in n.TAGS),
    *("<p>", "</p>", "<div>", "</div>", "<li>", "<td>", "<tr>", "<table>", "</table>", "<b>", "</b>", "<a>", "</a>") * 6,
    *("text", "不", " ", "\n", "a b", "&amp;", "<", "< ", "</", "</>", "<>", "x<3") * 8,
    *("<!-- c -->", "<!-->", "<!--->", "<!--a--!>", "<!doctype html>", "<?pi?>", "<![CDATA[x]]>", "</ x>", "<!") * 2,
    *(
        "<p a=1>",
        "<p a='>'>",
        '<p a=">" b>',
        "<p a = x/>",
        "<p =a>",
        "<p/a/b>",
        "<path/>",
        "<p a='1'b=\"2\">",
        "<x-y>",
        "</x-y>",
    ),
    *(
        "<script>a</script>",
        "<script><!--<script></script>--></script>",
        "<script><!-- </script>",
        "<style><p></style>",
        "<BR>",
    ),
    *(
        "<textarea> <p></textarea>",
        "<xmp><b></xmp>",
        "<title>t</title>",
        "<svg/>",
        "<svg><title>x</title></svg>",
        "<br>",
        "<br>",
    ),
)


def ours(page: str) -> tuple[list[tuple[str, list[str]]], list[int]]:
    found = blocks_of(page).found
    data = page.encode()
    tags = ["", *n.TAGS]
    blocks = [(tags[found.elements[row[c.ELEMENT], c.TAG]], []) for row in found.blocks]
    for start, stop, kind, _, block in found.segments.tolist():
        assert kind in (c.TEXT, c.RAW, c.BREAK)
        blocks[block][1].append("\n" if kind == c.BREAK else data[start:stop].decode())
    return blocks, found.elements[:, c.PARENT].tolist()


NOISE = "<>/!-=\"' bpA&;\n不?[]"
"""Put into pages at random. Unknown names of tags are told apart by a hash of six bits, so it makes few of them."""


@pytest.mark.parametrize("seed", range(10))
def test_agrees_with_a_plain_twin(seed: int) -> None:
    rng = random.Random(seed)
    for turn in range(90):
        pieces = rng.choices(PARTS, k=rng.randrange(1, 40))
        page = "".join(pieces)
        if turn % 3 == 1:
            page = page[: rng.randrange(len(page) + 1)]
        elif turn % 3 == 2:
            for _ in range(rng.randrange(3)):
                at = rng.randrange(len(page) + 1)
                page = page[:at] + rng.choice(NOISE) + page[at:]
        expected = scan_oracle.scan(page)
        assert ours(page) == (expected.blocks, expected.parents), page


SIGNS = "aZ0'.!?,;|-_ \t\n©·é世。、！？，한ไ🎉\u0301“\x7f\ufffd"


def counted(text: str) -> dict[int, int]:
    """What a block of this text counts, letter by letter."""
    words, in_word = 0, False
    for character in text:
        goes_on = in_word and character == "'"
        code = ord(character)
        is_sign = 0x80 <= code < 0xC0 or 0x2000 <= code < 0x2080 or 0x3000 <= code < 0xE000 or 0xFF00 <= code < 0xFF40
        is_word = character.isalnum() if code < 0x80 else not is_sign
        words += is_word and not in_word
        in_word = is_word or goes_on
    shown = [character for character in text if ord(character) > 0x20]
    return {
        c.CHARS: len(shown),
        c.WORDS: words,
        c.SENTENCES: sum(character in ".!?。！？" for character in shown),
        c.COMMAS: sum(character in ",;、，" for character in shown),
        c.DIGITS: sum(character in "0123456789" for character in shown),
        c.CAPITALS: sum("A" <= character <= "Z" for character in shown),
        c.CJK: sum(0x3000 <= ord(character) < 0xE000 for character in shown),
        c.BARS: sum(character in "|·" for character in shown),
        c.COPYRIGHT: sum(character == "©" for character in shown),
    }


@pytest.mark.parametrize("size", [1, 7, 60, 3_000])
def test_counts_agree_with_a_plain_twin(size: int) -> None:
    rng = random.Random(size)
    for _ in range(20):
        text = "".join(rng.choices(SIGNS, k=size)) + "x"
        (row,) = blocks_of(f"<p>{text}</p>").found.blocks
        expected = counted(text)
        assert {column: int(row[column]) for column in expected} == expected, text


def test_hashes_tell_texts_apart() -> None:
    texts = ["a", "b", "ab", "ba", "a" * 64 + "b", "b" + "a" * 64, "a" * 65]
    hashes = blocks_of("".join(f"<p>{text}<p> {text[:1]}\n {text[1:]}" for text in texts)).found.hashes.tolist()
    assert hashes[::2] == hashes[1::2]
    assert len(set(hashes)) == len(texts)


@pytest.mark.parametrize(
    ("page", "texts"),
    [
        ("<b>不</b>是我。", ["不是我。"]),
        ("10<span>€</span> a<i>—</i>b", ["10€ a—b"]),
        ("<body><ul><li>one<li>two</ul>", ["one", "two"]),
        ("<ruby>漢<rt>かん</rt>字<rp>(</rp><rt>じ</rt></ruby>を", ["漢字を"]),
        ("<p>a<script>if (a</b>b) '</p>'</script>b<style>p</style><template>t</template>", ["ab"]),
        ("<script><!--\n<script>a</script>\n--></script>b", ["b"]),
        ("<p title='a>b'>c<p title=\"</p>\">d", ["c", "d"]),
        ("<!-- <p>a --><p>b<![CDATA[c]]>d", ["bd"]),
        ("<svg><title>icon</title><text>label</text><desc>d</desc></svg>", ["label"]),
        ("a<br>b<br><br>c", ["a\nb", "c"]),
        ("<table><tr><td><b>a<td>b</b></table>c", ["a", "b", "c"]),
        ("<pre>\n  x\r\n y</pre>", ["\n  x\n y"]),
        ("a &amp; b&nbsp;&euro;&#8364;&notit; &bogus; &#x1F600;", ["a & b\xa0€€¬it; &bogus; 😀"]),
        ("a  \n\t b <b> c</b>d", ["a b cd"]),
        ("<h1>Title<a href='#t'>\u200b</a></h1>", ["Title"]),
        ("<p>\u200bខ្មែរ\u200bខ្មែរ", ["ខ្មែរ\u200bខ្មែរ"]),
        ("<noscript><p>forum</p></noscript>", ["forum"]),
        ("<body>a</body></html>b<p>c", ["a", "b", "c"]),
        ("<p><b>a<p>b</b>c", ["a", "bc"]),
        ("<table><p>a</p><tr><td>b</table>c", ["a", "b", "c"]),
        ("a<plaintext><b>&amp;", ["a", "<b>&amp;"]),
        ("<svg><![CDATA[a<b]]></svg><math><mi><![CDATA[c]]></mi></math>", ["a<b"]),
        ("<svg><text>a</text><p>b</svg>", ["a", "b"]),
        ("<desc>a</desc><metadata>b</metadata><svg><metadata>c</metadata></svg>", ["ab"]),
        ("<select><option>a<option>b<b>c</b></select>", ["a", "bc"]),
        ("<textarea>a &lt; <b></textarea><button>c<button>d", ["a < <b>", "c", "d"]),
        ("<frameset><frame><noframes>a</noframes></frameset>b", ["b"]),
        ("a\0b<p\0>c", ["abc"]),
        ("<p>a\ud800b", ["a?b"]),
        ("x<!-- a", ["x"]),
        ("x<a href='", ["x"]),
    ],
)
def test_texts_of_blocks(page: str, texts: list[str]) -> None:
    assert blocks_of(page).texts() == texts


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            "<p>so <math><mi>x</mi><annotation encoding='application/x-tex'>\\frac{x}{2}</annotation></math> is",
            "so $\\frac{x}{2}$ is",
        ),
        ("<p>so <script type='math/tex'>a<b</script> is", "so $a<b$ is"),
        ("<p>so <span class=MathJax>ab</span><script type='math/tex; mode=display'>a</script> is", "so $$a$$ is"),
        (
            "<span class=katex><span class=katex-mathml><math><mi>x</mi>"
            "<annotation encoding='application/x-tex'>x^2</annotation></math></span>"
            "<span class=katex-html aria-hidden=true>x2</span></span>",
            "$x^2$",
        ),
        ("<span class=katex><span class=katex-html>x2</span></span>", "x2"),
        ("<table><tr><td>x<span class=MathJax>ab</span><script type='math/tex'>a</script></table>", "x$a$"),
        ("<math display=block><mi>x</mi><annotation encoding='application/x-tex'>y</annotation></math>", "$$y$$"),
        (
            "<span class=katex-display><span class=katex><span class=katex-mathml><math>"
            "<annotation encoding='application/x-tex'>y</annotation></math></span></span></span>",
            "$$y$$",
        ),
        (
            "<span><span style='display: none'><math><mi>x</mi>\n<annotation encoding='application/x-tex'>y</annotation>\n"
            "</math></span>\n<img class=mwe-math-fallback-image-inline alt=y></span> is",
            "$y$ is",
        ),
        ("so <img alt='a &lt; b' class='x tex'><img alt=no class=texture> is", "so $a < b$ is"),
        ("<img class=mwe-math-fallback-image-display alt='y'>", "$$y$$"),
    ],
)
def test_formulas_are_tex(page: str, text: str) -> None:
    assert blocks_of(page).texts() == [text]


LINEAR = {
    "levels": ("<div>", "x"),
    "inline levels": ("<b><i>", "x</u>"),
    "end tags that match nothing": ("<b><div></b>", ""),
    "attributes": ("<p ", " a=1"),
    "attributes by slashes": ("<p", "/a"),
    "no blank": ("x", "x"),
    "brackets": ("<", "<"),
    "quote without end": ("<p a='", "x"),
    "style": ("<p style='", "display:"),
    "references": ("", "&a"),
    "numbers": ("&#", "1"),
    "comments": ("", "<!--"),
    "scripts in comments": ("<script><!--", "<script "),
    "cells": ("<table><tr>", "<td>x"),
    "tables": ("", "<table><tr><td>x"),
    "lists": ("", "<ul><li>x"),
    "quotes": ("", "<blockquote>x"),
    "svg": ("", "<svg><desc><p>"),
    "formulas": ("<math>", "<mi>x</mi><annotation encoding='application/x-tex'>a</annotation>"),
    "breaks": ("x", "<br>x"),
    "spans": ("<table>", "<tr><td rowspan=0 colspan=1000>x<td>y"),
    "numbers of items": ("<ol reversed>", "<li value=5>x"),
    "signs": ("", "<a href='#x'>#<b>"),
    "code": ("", "<code>`<b>"),
    "languages": ("", "<pre class='language-x'><code>a</code></pre>"),
    "formulas in a large tag": (
        f"<span {'x ' * 50_000}>",
        "<math><annotation encoding='application/x-tex'>a</annotation></math>",
    ),
    "images of formulas": ("", "<img class=tex alt=x>"),
}


PASSING = {
    "a large attribute": "<p data-preloaded='" + '{"a":[1,2]}' * 1_500 + "'>x",
    "attributes of one element": "<p" + "".join(f" a{at}=1" for at in range(200_000)) + ">x",
    "attributes by slashes": "<div" + "".join(f"/a{at}" for at in range(200_000)) + ">x",
    "a million attributes": "<p a b=1 c='2' d e>" * 200_000 + "x",
    "a hundred thousand levels": "<div>" * 100_000 + "x",
    "a million elements": "<b>" * 1_000_000 + "x",
    "a path in a picture": "<svg><path d='" + "M1 2" * 100_000 + "'/></svg>x",
    "sources of a picture": "<img srcset='" + "data:image/png;base64,AAAA " * 10_000 + "'>x",
    "an endless comment": "x" + "<!--" * 1_000_000,
}


@pytest.mark.parametrize("kind", PASSING)
def test_large_pages_pass(kind: str) -> None:
    blocks = blocks_of(PASSING[kind])
    assert blocks.text() == "x"
    assert len(blocks.features) == 1


@pytest.mark.parametrize("part", ["x", "<", "&", "\0", "\ud800", "&#x1"])
def test_text_of_megabytes_passes(part: str) -> None:
    shown = {"\0": "", "\ud800": "?", "&#x1": ""}.get(part, part)
    assert blocks_of(part * 1_000_000).text() == shown * 1_000_000


def test_tables_grow_while_a_page_is_scanned() -> None:
    page = "<p>a<br>b<table><tr><td>c<td>d</table>" * 2_000
    blocks = blocks_of(page)
    assert len(blocks) == 6_000
    assert blocks.texts() == ["a\nb", "c", "d"] * 2_000
    assert [len(array) for array in blocks.found[:6]] == [10_001, 10_001, 10_001, 10_000, 6_000, 6_000]


@pytest.mark.parametrize("kind", LINEAR)
def test_time_is_linear(kind: str) -> None:
    begin, part = LINEAR[kind]
    blocks_of(begin + part).text(markdown=True)

    def seconds(times: int) -> float:
        page = begin + part * times
        started = time.process_time()
        blocks = blocks_of(page)
        assert blocks.features.shape[0] == len(blocks)
        blocks.text(markdown=True)
        return time.process_time() - started

    # Quadratic work would be 256 times as much. The least of three: the kernel may take longer to find memory than all else.
    least = {times: min(seconds(times) for _ in range(3)) for times in (1_000, 16_000)}
    assert least[16_000] < 0.05 + 60 * max(least[1_000], 0.001)


def test_too_many_tags_are_hostile() -> None:
    with pytest.raises(RecordError, match="more than 320"):
        blocks_of("<p>" * 4_000_000)


SKIPPED = ("script", "style", "template", "iframe", "noembed", "noframes", "title", "rt", "rp", "rtc", "datalist")


def visible(page: str) -> str:
    """The text nodes of lexbor's tree."""
    pieces = []
    node = HTMLTree.parse(page).document
    while node is not None:
        inside = None
        if node.type == NodeType.TEXT:
            pieces.append(node.text)
        elif node.type != NodeType.ELEMENT or node.tag not in SKIPPED:
            inside = node.first_child
        if inside is None:
            while node is not None and node.next is None:
                node = node.parent
            inside = node.next if node is not None else None
        node = inside
    return "".join(pieces)


@pytest.mark.parametrize(
    ("step", "most"), [(30, 12), pytest.param(17, 313, marks=(pytest.mark.soak, pytest.mark.timeout(1_800)))]
)
def test_no_character_of_real_pages_is_lost(shared_data: Path, step: int, most: int) -> None:
    checked = 0
    with (shared_data / "web" / "docs.warc.gz").open("rb") as handle:
        for at, record in enumerate(ArchiveIterator(handle, record_types=WarcRecordType.response)):
            if checked == most:
                break
            if at % step:
                continue
            page = decode(record.reader.read(), record.http_charset, markup=True).text
            assert re.sub(r"\s", "", blocks_of(page).text()) == re.sub(r"\s", "", visible(page)), record.record_id
            checked += 1
    assert checked == most
