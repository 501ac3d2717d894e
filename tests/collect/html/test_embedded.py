"""Text that stands in data: each source, when it is taken, and hostile data."""

from __future__ import annotations

import html
import importlib.util
import json
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.collect import web
from tokenmill.pipeline.collect.html import embedded, page
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.config.sources import Extract

SHELL = "<!doctype html><html><head><title>Rain</title>{head}</head><body><div id=app>Loading</div>{body}</body></html>"
FIRST = "The first text says that rain falls on all who walk below the clouds, and that it always did."
SECOND = "The second one disagrees: Straße, ελληνικά, हिन्दी, 不是, 😀 are dry, and so are 3 < 4 & 5 of them."
BOTH = f"{FIRST}\n\n{SECOND}"
ESCAPED = html.escape(SECOND)
MISSING = pytest.mark.skipif(importlib.util.find_spec("trafilatura") is None, reason="trafilatura is not installed")
HOWS = [pytest.param(how, marks=[MISSING] if how == "trafilatura" else []) for how in get_args(Extract)]


def script(thing: Any, kind: str = "application/ld+json", more: str = "") -> str:
    return f'<script type="{kind}"{more}>{json.dumps(thing)}</script>'


def discourse(*cooked: str) -> str:
    topic = {"id": 1, "post_stream": {"posts": [{"cooked": post} for post in cooked]}}
    stores = {"currentUser": "null", "site": json.dumps({"cooked": "no post"}), "topic_1": json.dumps(topic)}
    return f'<div class="hidden" id="data-preloaded" data-preloaded="{html.escape(json.dumps(stores))}"></div>'


def next_data(props: dict[str, Any]) -> str:
    return script({"props": {"pageProps": props}}, "application/json", ' id="__NEXT_DATA__"')


def posting(**more: Any) -> dict[str, Any]:
    return {"@context": "https://schema.org", "@type": "DiscussionForumPosting", "headline": "Rain", **more}


PAGES: dict[str, tuple[str, str]] = {
    "article": (script({"@type": "NewsArticle", "articleBody": BOTH, "description": "Short."}), "json-ld"),
    "article of HTML": (script({"@type": "Article", "articleBody": f"<p>{FIRST}</p><p>{ESCAPED}</p>"}), "json-ld"),
    "article of escaped HTML": (
        script({"@type": "Article", "articleBody": html.escape(f"<p>{FIRST}</p><p>{ESCAPED}</p>")}),
        "json-ld",
    ),
    "article in a graph": (script({"@graph": [{"@type": "WebSite"}, {"@type": "Article", "articleBody": BOTH}]}), "json-ld"),
    "forum": (script(posting(text=FIRST, comment=[{"@type": "Comment", "text": SECOND}])), "json-ld"),
    "nested comments": (script(posting(comment=[{"text": FIRST, "comment": {"text": SECOND}}])), "json-ld"),
    "questions": (
        script({"@type": "QAPage", "mainEntity": {"@type": "Question", "name": FIRST, "acceptedAnswer": {"text": SECOND}}}),
        "json-ld",
    ),
    "FAQ": (
        script({"@type": "FAQPage", "mainEntity": [{"@type": "Question", "name": FIRST, "acceptedAnswer": {"text": SECOND}}]}),
        "json-ld",
    ),
    "product": (script({"@type": "Product", "name": "Umbrella", "description": BOTH}), "json-ld"),
    "recipe": (
        script({"@type": "Recipe", "recipeIngredient": [FIRST], "recipeInstructions": [{"text": SECOND}]}),
        "json-ld",
    ),
    "discourse": (discourse(f"<p>{FIRST}</p>", f"<p>{ESCAPED}</p>"), "discourse"),
    "noscript": (f"<noscript><div><p>{FIRST}</p><p>{ESCAPED}</p></div></noscript>", "noscript"),
    "microdata": (f'<meta itemprop="articleBody" content="{html.escape(BOTH)}">', "microdata"),
    "next": (next_data({"post": {"id": "abc", "content": f"<p>{FIRST}</p><p>{ESCAPED}</p>"}}), "next-data"),
}  # fmt: skip


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_visible_text_gives_that_of_its_data(name: str, how: Extract) -> None:
    body, source = PAGES[name]
    found = page.read(SHELL.format(head="", body=body), Extraction(extract=how))
    if name == "noscript" and how == "none":
        # There, it is text like any other.
        assert found.main.text.split() == ["Loading", *BOTH.split()]
        return
    assert found.main.text.split() == BOTH.split()
    if how == "trafilatura":
        # It reads some of these itself.
        assert found.about.get("text_from") in (source, None)
    else:
        assert found.about.get("text_from") == (None if name == "noscript" and how == "blocks" else source)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_with_visible_text_keeps_it(name: str, how: Extract) -> None:
    prose = "".join(
        f"<p>Paragraph {number} of the page itself says what the page has to say, at length.</p>" for number in range(12)
    )
    found = page.read(SHELL.format(head="", body=f"<main>{prose}</main>{PAGES[name][0]}"), Extraction(extract=how))
    assert "Paragraph 7 of the page itself" in found.main.text
    assert "text_from" not in found.about


def test_embedded_text_that_is_visible_is_not_taken() -> None:
    """The choice of main text was made with it in view."""
    data = script({"@type": "Article", "articleBody": BOTH})
    shown = f"<p>{FIRST}</p><p>{ESCAPED}</p>{data}"
    assert embedded.instead(shown, "Loading", lambda part: part) is None
    found = embedded.instead(shown, "", lambda part: part)
    assert found is not None
    assert found.source == "json-ld"


def test_the_longest_of_several_is_taken_and_each_string_once() -> None:
    both = script({"@type": "Article", "articleBody": FIRST + FIRST}) + discourse(
        f"<p>{FIRST}</p>", f"<p>{SECOND}</p>" * 3, f"<p>{FIRST}</p>"
    )
    found = embedded.instead(both, "", lambda part: part.replace("<p>", "").replace("</p>", " "))
    assert found is not None
    assert (found.source, found.text.count(FIRST), found.text.count("second one")) == ("discourse", 1, 3)


@pytest.mark.parametrize(
    "body",
    [
        script({"@type": "Organization", "description": BOTH}),
        script({"@type": "Article", "articleBody": "Short."}),
        script({"@type": "ItemList", "itemListElement": [{"@type": "Product", "description": BOTH}]}),
        next_data({"content": "a" * 500, "body": '{"a": 1. }' * 50, "token": BOTH * 2}),
        "<noscript>Please switch on JavaScript.</noscript>",
        "<div data-preloaded='[1, 2]'></div>",
        "<div data-preloaded='{\"topic_1\": \"{\\\"post_stream\\\": 1}\", \"topic_2\": \"[]\", \"topic_3\": 1}'></div>",
        '<meta property="articleBody" content="' + "x" * 500 + '">',
        "<!-- " + script({"@type": "Article", "articleBody": BOTH}) + " -->",
    ],
)  # fmt: skip
def test_what_is_no_text_is_not_taken(body: str) -> None:
    assert embedded.instead(SHELL.format(head="", body=body), "", lambda part: part.replace("<iframe>", "")) is None


MANY = 100_000
HOSTILE = {
    "deep": script({}) + '<script type="application/ld+json">' + '{"comment":' * MANY,
    "deep comments": '<script type="application/ld+json">' + '{"comment":' * 300 + "1" + "}" * 300 + "</script>",
    "many strings": script(posting(comment=[{"text": f"<p>{number}"} for number in range(MANY)])),
    "noscript": "<noscript>" * MANY,
    "noscript without end": "<noscript " * MANY,
    "preloaded": " data-preloaded=\"' data-preloaded='" * MANY,
    "bodies": "<meta articleBody" * MANY,
    "next": '<script id="__NEXT_DATA__" type="application/json">' + "[" * MANY + "]" * MANY + "</script>",
    "halves": script({"@type": "Article", "articleBody": "\ud800 \x00\x08 a lone half " * 20}),
}  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_data_is_linear_and_never_breaks_a_text(body: str) -> None:
    begin = time.process_time()
    found = embedded.instead(body, "", lambda part: part)
    assert time.process_time() - begin < 10
    text = found.text if found else ""
    text.encode()
    assert "\x00" not in text


@pytest.mark.parametrize("how", HOWS)
def test_documents_of_files_and_archives_say_where_their_text_stood(tmp_path: Path, collect: Any, how: Extract) -> None:
    """One page as a file and as a response: the same text, and the same metadata but for the address."""
    head = '<meta property="og:title" content="Rain"><link rel=canonical href="/rain">'
    data = SHELL.format(head=head, body=PAGES["forum"][0]).encode()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.html").write_bytes(data)
    (tmp_path / "in" / "b.warc").write_bytes(web.warc(web.response(body=data), number="1"))
    done = collect(tmp_path / "in", extract=how)
    file, record = done.documents()
    assert file["text"].split() == record["text"].split() == BOTH.split()
    of_file, of_record = json.loads(file["metadata"]), json.loads(record["metadata"])
    for said in (of_file, of_record):
        assert (said["title"], said["title_from"], said["text_from"]) == ("Rain", "json-ld", "json-ld")
    assert "canonical_url" not in of_file
    assert of_record["canonical_url"] == "http://a.org/rain"
    assert of_record["date"] == "2024-01-01T00:00:00Z"
