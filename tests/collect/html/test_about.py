"""What pages say about themselves: every source, their order, and hostile pages."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tokenmill.pipeline.collect.html.about import TEXT_CHARACTERS, URL_CHARACTERS, about
from tokenmill.pipeline.collect.html.marks import MOST_TAGS, TAG_CHARACTERS

URL = "https://www.example.org/rain/"
LETTERS = "Ünïcôdé · Дождь · βροχή · מטר · مطر · बारिश · ฝน · 비 · 雨 · ጥይት · 🌧️ · می‌بارد"


def ld(*things: Any) -> str:
    return "".join(f'<script type="application/ld+json">{json.dumps(thing)}</script>' for thing in things)


def article(**more: Any) -> dict[str, Any]:
    return {"@type": "Article", "headline": "Rain", **more}


SOURCES: list[tuple[str, str, str, str]] = [
    # field, markup, value, source; for each field by descending trust
    ("title", ld(article(headline="T1")), "T1", "json-ld"),
    ("title", '<meta property="og:title" content="T2">', "T2", "og:title"),
    ("title", '<meta name=citation_title content="T3">', "T3", "citation_title"),
    ("title", '<meta name="DC.title" content="T4">', "T4", "dc.title"),
    ("title", '<meta name="twitter:title" content="T5">', "T5", "twitter:title"),
    ("title", "<meta itemprop='headline' content='T6'>", "T6", "itemprop"),
    ("title", '<meta name="title" content="T7">', "T7", "meta title"),
    ("title", "<title>T8</title>", "T8", "title"),
    ("title", "<h1>T<b>9</b></h1>", "T 9", "h1"),
    ("author", ld(article(author={"@type": "Person", "name": "Ann One"})), "Ann One", "json-ld"),
    ("author", '<meta property="article:author" content="Ann Two">', "Ann Two", "article:author"),
    ("author", "<meta name=citation_author content='T, A.'>" * 2, "T, A.", "citation_author"),
    ("author", '<meta name="dcterms.creator" content="Ann Four">', "Ann Four", "dcterms.creator"),
    ("author", '<meta name="author" content="By Ann Five">', "Ann Five", "meta author"),
    ("author", '<p itemprop="author"><a itemprop="url"><b itemprop="name">Ann Six</b></a></p>', "Ann Six", "itemprop"),
    ("author", '<a rel="nofollow author" href="/a">Ann Seven</a>', "Ann Seven", "rel=author"),
    ("author", '<p class="post-author vcard">Posted by Ann Eight</p>', "Ann Eight", "byline"),
    ("published", ld(article(datePublished="2001-01-01")), "2001-01-01", "json-ld"),
    ("published", '<meta property="article:published_time" content="2002-01-01T10:00Z">', "2002-01-01T10:00:00Z",
     "article:published_time"),
    ("published", '<meta name="citation_date" content="2003/01/01">', "2003-01-01", "citation_date"),
    ("published", '<meta name="DC.date.issued" content="2004-01-01">', "2004-01-01", "dc.date.issued"),
    ("published", "<meta itemprop=datePublished content=2005-01-01>", "2005-01-01", "itemprop"),
    ("published", '<meta name=date content="January 1, 2006">', "2006-01-01", "meta date"),
    ("published", '<span itemprop="datePublished">1 January 2007</span>', "2007-01-01", "itemprop"),
    ("published", '<time pubdate datetime="2008-01-01">New Year</time>', "2008-01-01", "time"),
    ("published", '<time datetime="2009-01-01">New Year</time>', "2009-01-01", "time"),
    ("site", '<meta property="og:site_name" content="S1">', "S1", "og:site_name"),
    ("site", ld({"@type": "WebSite", "name": "S2"}), "S2", "json-ld"),
    ("site", ld(article(publisher={"name": "S3"})), "S3", "json-ld"),
    ("site", '<meta name="application-name" content="S4">', "S4", "meta application-name"),
    ("canonical_url", '<link rel="canonical" href="/1">', "https://www.example.org/1", "link"),
    ("canonical_url", '<meta property="og:url" content="2">', "https://www.example.org/rain/2", "og:url"),
    ("language", '<html lang="pt_br">', "pt-BR", "html"),
    ("language", '<meta http-equiv="Content-Language" content="de">', "de", "meta content-language"),
    ("language", '<meta property="og:locale" content="fr_CA">', "fr-CA", "og:locale"),
    ("language", ld(article(inLanguage="zh-hant-tw")), "zh-Hant-TW", "json-ld"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "markup", "value", "source"), SOURCES)
def test_each_source_is_read(field: str, markup: str, value: str, source: str) -> None:
    said = about(f"<!doctype html>{markup}<p>Text", URL)
    assert (said.get(field), said.get(f"{field}_from")) == (value, source)


@pytest.mark.parametrize("field", ["title", "author", "published", "site", "canonical_url", "language"])
def test_of_several_sources_the_most_trusted_counts(field: str) -> None:
    """Each is the best of those after it, however they stand on the page."""
    rows = [(markup, value) for name, markup, value, _ in SOURCES if name == field]
    for first in range(len(rows)):
        left = rows[first:]
        if field == "site" and first == 1:
            continue  # the site itself, and the publisher of an article, are both of JSON-LD
        page = "".join(markup for markup, _ in reversed(left))
        assert about(page, URL)[field] == left[0][1]


def test_several_authors_of_a_paper_are_all_named() -> None:
    page = "".join(f"<meta name=citation_author content='{name}'>" for name in ("Lee, A.", "Müller, B.", "Lee, A."))
    assert about(page)["author"] == "Lee, A.; Müller, B."


def test_a_page_that_says_nothing() -> None:
    assert about("<p>Text") == about("") == {}


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("Rain | The Post", "Rain"),
        ("The Post: Rain", "Rain"),
        ("THE POST — Rain", "Rain"),
        ("Rain - News - The Post", "Rain - News"),
        ("Rain ｜The Post", "Rain"),
        ("Rain · Example", "Rain"),
        ("Rain | example.org", "Rain"),
        ("Rain - a song", "Rain - a song"),
        ("The Post", "The Post"),
        ("Sun and rain - Weather", "Sun and rain"),
        ("Re-use of rain: a study", "Re-use of rain: a study"),
        (" | ", "|"),
    ],
)
def test_the_title_is_cut_where_it_repeats_the_site(title: str, kept: str) -> None:
    page = f'<title>{title}</title><meta property="og:site_name" content="The Post"><h1>Sun and rain</h1>'
    assert about(page, URL)["title"] == kept


def test_references_controls_and_marks_without_width_are_resolved() -> None:
    page = "<title>\n Rain\x00 &amp;  Sun&#8203;shine &lt;b&gt; \u202etxt\u202c &eacute;&#xD800; </title>"
    assert about(page)["title"] == "Rain & Sunshine <b> txt é\ufffd"


def test_every_letter_stays() -> None:
    page = f'<title>{LETTERS}</title><meta name=author content="{LETTERS}">'
    assert about(page)["title"] == about(page)["author"] == LETTERS
    said = about(ld(article(headline=LETTERS, author=LETTERS)))
    assert said["title"] == said["author"] == LETTERS


def test_values_are_bounded() -> None:
    said = about(f"<title>{'rain ' * 300}</title><link rel=canonical href='/{'a' * URL_CHARACTERS}'>", URL)
    assert len(str(said["title"])) <= TEXT_CHARACTERS
    assert str(said["title"]).endswith("rain…")
    assert "canonical_url" not in said


@pytest.mark.parametrize(
    ("href", "base", "whole"),
    [
        ("https://user:secret@example.org/a", None, "https://example.org/a"),
        ("//example.net/a?b=1&amp;c=2", None, "https://example.net/a?b=1&c=2"),
        ("../b", None, "https://www.example.org/b"),
        ("c", "/base/", "https://www.example.org/base/c"),
        ("c", "https://other.example/d/", "https://other.example/d/c"),
        ("javascript:alert(1)", None, None),
        ("ftp://example.org/a", None, None),
        ("http://[broken", None, None),
        ("https://", None, None),
        ("https://a b.example/", None, None),
        ("https://example.org\\@evil.example/", None, None),
    ],
)
def test_canonical_addresses_are_whole_and_without_passwords(href: str, base: str | None, whole: str | None) -> None:
    page = (f'<base href="{base}">' if base else "") + f'<link rel=canonical href="{href}">'
    assert about(page, URL).get("canonical_url") == whole


def test_a_relative_address_needs_that_of_the_page() -> None:
    assert about("<link rel=canonical href=/a>") == {}
    assert about("<link rel=canonical href=/a>", "https://u:p@example.org")["canonical_url"] == "https://example.org/a"


@pytest.mark.parametrize(
    "markup",
    [
        "<!-- {} -->",
        "<script>var a = '{}'</script>",
        "<style>{}</style>",
        "<textarea>{}</textarea>",
        "<template>{}</template>",
        "<SCRIPT>{}</SCRIPT >",
        "<!-- {}",
    ],
)
def test_what_is_no_tag_says_nothing(markup: str) -> None:
    said = '<meta name="author" content="Nobody Real"><time datetime="2001-01-01">'
    assert about(markup.format(said)) == {}


def test_several_articles_or_authors_name_none() -> None:
    assert "title" not in about(ld(article(headline="A"), article(headline="B")))
    both = ld(article(headline="A", url=URL + "a"), article(headline="B", url=URL))
    assert about(both, URL)["title"] == "B"
    assert "author" not in about("<a rel=author href=/a>Ann</a><a rel=author href=/b>Bob</a>")
    assert "published" not in about("<time datetime=2001-01-01></time><time datetime=2002-01-01></time>")


def test_a_graph_names_its_persons_by_reference() -> None:
    graph = {
        "@graph": [
            {"@type": "WebPage", "name": "Rain - The Post"},
            {
                "@type": ["NewsArticle", "Thing"],
                "headline": "Rain",
                "author": [{"@id": "#ann"}, "Bob"],
                "publisher": {"@id": "#post"},
            },
            {"@type": "Person", "@id": "#ann", "name": "Ann &amp; Co"},
            {"@type": "Organization", "@id": "#post", "name": "The Post"},
        ]
    }
    said = about(ld(graph))
    assert (said["title"], said["author"], said["site"]) == ("Rain", "Ann & Co; Bob", "The Post")


@pytest.mark.parametrize("between", [0, 30_000, 300_000])
def test_data_far_behind_the_heading_are_read(between: int) -> None:
    page = f"<h1>Sun</h1>{'<p>word</p>' * (between // 11)}{ld(article())}"
    assert about(page) == {"title": "Rain", "title_from": "json-ld"}
    assert about(page.replace("<h1>Sun</h1>", "")) == about(page)


def test_types_with_addresses_and_main_entities() -> None:
    thing = {
        "@type": "http://schema.org/QAPage",
        "mainEntity": {"@type": "Question", "name": "Why?", "author": {"name": "Ann"}},
    }
    assert about(ld(thing))["author"] == "Ann"
    assert about(ld({"@type": "WebPage", "mainEntity": {"@type": "Product", "name": "Umbrella"}}))["title"] == "Umbrella"


@pytest.mark.parametrize(
    "author", ["https://facebook.com/ann", "admin", "ann@example.org", "@ann", "x" * 101, "{{author}}", "by ", "Written by:"]
)
def test_addresses_and_placeholders_are_no_authors(author: str) -> None:
    assert "author" not in about(f'<meta name=author content="{author}">')


@pytest.mark.parametrize("wrapped", ["//<![CDATA[\n{}\n//]]>", "<!-- {} -->", "/* <![CDATA[ */{}/* ]]> */", "  {};  "])
def test_wrapped_json_is_read(wrapped: str) -> None:
    page = f"<script type='application/ld+json'>{wrapped.format(json.dumps(article()))}</script>"
    assert about(page) == {"title": "Rain", "title_from": "json-ld"}


@pytest.mark.parametrize("kind", ["Application/LD+JSON", "application/ld+json; charset=utf-8", "application/ld&#43;json"])
def test_types_of_scripts_as_servers_write_them(kind: str) -> None:
    assert about(f'<script type="{kind}">{json.dumps(article())}</script>')["title"] == "Rain"


BROKEN = {
    "cut": '{"@type": "Article", "headline": "R',
    "deep list": "[" * 100_000 + "]" * 100_000,
    "deep object": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "endless number": '{"a": ' + "9" * 100_000 + "}",
    "many values": "[" + "[]," * 1_000_000 + "[]]",
    "null": "null",
    "text": "see above",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_json_is_counted(content: str) -> None:
    page = f'<title>Rain</title><script type="application/ld+json">{content}</script>'
    assert about(page) == {"title": "Rain", "title_from": "title", "json_ld_broken": 1}


STRANGE: list[Any] = [
    {"@type": [None, 1, {}], "headline": "x"},
    article(
        headline=["a", 1], author=[None, 1, [], {"name": None}, {"@id": {}}], publisher=1, datePublished={}, inLanguage=[[]]
    ),
    {"@type": "Article", "headline": {"@value": "x"}, "author": {"@id": "#"}, "@id": "#", "mainEntityOfPage": {"@id": 1}},
    [[[[article()]]]],
    article(headline="a\ud800b", author="\udc00c"),
]


@pytest.mark.parametrize("thing", STRANGE)
def test_json_of_unexpected_types_is_taken_as_it_is(thing: Any) -> None:
    json.dumps(about(ld(thing), URL), ensure_ascii=False).encode()


MANY = 300_000
HOSTILE = {
    "meta": '<meta name="author" content="Ann Lee">' * MANY,
    "meta without end": '<meta name="author" content=' * MANY,
    "quotes": "<meta a=\"b' c='d\" " * MANY,
    "titles": "<title></title>" * MANY,
    "open titles": "<title>" * MANY,
    "scripts": '<script type="application/ld+json">{}</script>' * MANY,
    "open scripts": '<script type="application/ld+json"' * MANY,
    "comments": "<!---->" * MANY,
    "times": "<time datetime=2001-01-01>" * MANY,
    "authors": '<a rel="author">' * MANY,
    "names": '<h1></h1><a itemprop="author" ' + 'itemprop="name" ' * MANY,
    "long attribute": f"<h1>Rain</h1><a rel=author title='{'x' * 30 * MANY}'>Ann</a>",
    "reference": f'<meta name=author content="&#{"9" * 5_000};">',
    "ampersands": f"<title>{'&' * MANY}</title>",
}


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pages_are_linear(page: str) -> None:
    begin = time.process_time()
    said = about(page, URL)
    assert time.process_time() - begin < 10
    assert all(len(str(value)) <= URL_CHARACTERS for value in said.values())


def test_tags_are_read_up_to_a_number_and_a_size() -> None:
    meta = '<meta name="author" content="Ann">'
    assert "author" in about("<meta name=x content=y>" * (MOST_TAGS - 1) + meta)
    assert "author" not in about("<meta name=x content=y>" * MOST_TAGS + meta)
    assert "author" not in about(f'<meta name="author" data-x="{"y" * TAG_CHARACTERS}" content="Ann">')
    assert about(f'<meta data-x="{"y" * TAG_CHARACTERS}">{meta}')["author"] == "Ann"
