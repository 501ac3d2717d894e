"""The text of a page that stands in data instead of elements: JSON-LD, Discourse's and Next.js' data, `noscript`.

Purpose: pages that a script fills in the browser show (almost) nothing, but often bring their text along for search engines.
Guarantee: embedded text stands in place of the main text only if that has fewer than `MOST_SHOWN` characters, if the embedded
text is at least `TIMES` as long, and if less than `MOST_VISIBLE` of it is visible, or the main text is empty. The strings of
the data go through the same extraction as pages, with every block kept, each once and in their order.
Cost: a search for a few words in pages with a short main text; else nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.html import jsonld
from tokenmill.pipeline.collect.html.marks import Marks, marks, read_tag, unescape

MOST_SHOWN = 500
TIMES = 2
LEAST = 150
"""Characters of embedded text that is worth taking."""
MOST_VISIBLE = 0.5
"""The share of `SAMPLES` pieces of embedded text, each of `PIECE` letters and digits, that are visible."""
SAMPLES = 32
PIECE = 24
MOST_MARKED_UP = 1_000
"""Strings with tags. Each is a page for the extractor; data with more of them are not read."""
MOST_DEEP = 20
PROSE_CHARACTERS = 200
"""A string of Next.js' data is text if it is so long."""

HINTS = ("ld+json", "data-preloaded", "__NEXT_DATA__", "<noscript", "articleBody")
TAG = re.compile(r"</?(?:[a-z][a-z0-9-]*|[A-Z][A-Z0-9]*)(?=[\s/>])[^<>]*>")
"""A tag of HTML, unlike `List<String>`."""
NO_LETTER = re.compile(r"[\W_]+")
UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
HALVES = re.compile(r"[\ud800-\udfff]")
PRELOADED = re.compile(r"\sdata-preloaded\s*=\s*(?:\"([^\"]*+)\"|'([^']*+)')")
NOSCRIPT = re.compile(r"<noscript(?=[\s>])[^>]{0,1000}+>(.*?)(?:</noscript|\Z)", re.IGNORECASE | re.DOTALL)
MOST_BODIES = 10
"""Places with the word `articleBody` that are looked at."""

# Keys of things in JSON-LD, in the order in which people read them.
TEXTS = ("articleBody", "text", "description", "reviewBody", "transcript", "recipeIngredient")
PARTS = (
    "recipeInstructions",
    "step",
    "itemListElement",
    "mainEntity",
    "acceptedAnswer",
    "suggestedAnswer",
    "comment",
    "review",
)
NAMED = {"Question", "HowToSection"}
"""Things whose names are read as text."""
NEXT_KEYS = {
    *("articlebody", "body", "bodyhtml", "body_html", "content", "contenthtml", "content_html", "html", "rendered", "text"),
    *(
        "description",
        "descriptionhtml",
        "description_html",
        "longdescription",
        "markdown",
        "post_content",
        "cooked",
        "transcript",
    ),
}

AsText = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """Text out of data. source: "discourse", "json-ld", "microdata", "noscript" or "next-data"."""

    text: str
    source: str


def instead(page: str, shown: str, as_text: AsText) -> Embedded | None:
    """The embedded text of a page, if it is to stand in place of `shown`, its main text; see the module for the rule.

    as_text: gives the text of HTML with every block kept.
    """
    if len(shown) >= MOST_SHOWN:
        return None
    try:
        best = _longest(page, as_text)
        if best is None or len(best.text) < TIMES * len(shown):
            return None
        return best if not shown.strip() or _is_hidden(best, page, as_text) else None
    except RecordError:
        # Data made to stall the extractor are no text; the page itself has passed.
        return None


def rival(page: str, as_text: AsText) -> int:
    """Characters of the embedded text that `instead` might give for another main text of the page; 0 if there is none.

    Below 0 if most of it is visible, so that it would only stand in place of no text at all.
    """
    try:
        best = _longest(page, as_text)
        return 0 if best is None else len(best.text) if _is_hidden(best, page, as_text) else -len(best.text)
    except RecordError:
        return 0


def _longest(page: str, as_text: AsText) -> Embedded | None:
    """The longest embedded text of a page, if that is worth taking."""
    found = _candidates(page, as_text) if any(hint in page for hint in HINTS) else ()
    best = max(found, key=lambda one: len(one.text), default=None)
    return best if best is not None and len(best.text) >= LEAST else None


def _is_hidden(best: Embedded, page: str, as_text: AsText) -> bool:
    visible = as_text(NOSCRIPT.sub(" ", page) if best.source == "noscript" else page)
    return _share(best.text, visible) < MOST_VISIBLE


def _share(text: str, visible: str) -> float:
    """The share of a text that is visible, by samples of its letters and digits."""
    wanted, known = NO_LETTER.sub("", text.lower()), NO_LETTER.sub("", visible.lower())
    pieces = [wanted[at : at + PIECE] for at in range(0, len(wanted), max(1, len(wanted) // SAMPLES))]
    return sum(piece in known for piece in pieces) / max(1, len(pieces))


def _candidates(page: str, as_text: AsText) -> Iterator[Embedded]:
    found = marks(page)
    sources: dict[str, Iterator[str]] = {
        "discourse": _discourse(page),
        "json-ld": _json_ld(found),
        "microdata": _microdata(page),
        "noscript": (hit[1] for hit in NOSCRIPT.finditer(page) if not found.is_opaque(hit.start())),
    }
    any_found = False
    for source, strings in sources.items():
        if text := _joined(strings, as_text):
            any_found = any_found or len(text) >= LEAST
            yield Embedded(text=text, source=source)
    if not any_found and (text := _joined(_next_data(found), as_text)):
        yield Embedded(text=text, source="next-data")


def _joined(strings: Iterator[str], as_text: AsText) -> str:
    """The strings as one text, each once. Strings with tags, also with escaped ones, are HTML."""
    marked_up = 0
    texts: dict[str, None] = {}
    for string in strings:
        plain = HALVES.sub("\ufffd", string)
        if not TAG.search(plain):
            plain = unescape(plain)
        if TAG.search(plain):
            marked_up += 1
            if marked_up > MOST_MARKED_UP:
                return ""
            plain = as_text(plain)
        plain = UNWANTED.sub("", plain).strip()
        if plain:
            texts[plain] = None
    return "\n\n".join(texts)


def _discourse(page: str) -> Iterator[str]:
    """The posts of a topic in the data that Discourse preloads: JSON in an attribute, whose values are again JSON."""
    if (hit := PRELOADED.search(page)) is None:
        return
    stores = jsonld.loads(unescape(hit[1] or hit[2] or ""))
    for key, value in stores.items() if isinstance(stores, dict) else ():
        topic = jsonld.loads(value) if key.startswith("topic_") and isinstance(value, str) else None
        stream = topic.get("post_stream") if isinstance(topic, dict) else None
        posts = stream.get("posts") if isinstance(stream, dict) else None
        for post in posts if isinstance(posts, list) else ():
            if isinstance(post, dict) and isinstance(post.get("cooked"), str):
                yield post["cooked"]


def _microdata(page: str) -> Iterator[str]:
    """The contents of `<meta itemprop=articleBody>`. In other elements the text is visible, or hidden on purpose."""
    at = 0
    for _ in range(MOST_BODIES):
        at = page.find("articleBody", at)
        begin = page.rfind("<", 0, at) if at >= 0 else -1
        if begin < 0:
            return
        tag = read_tag(page, "meta", begin + 5, len(page)) if page[begin : begin + 5].lower() == "<meta" else None
        if tag and "articleBody" in tag.attributes.get("itemprop", "").split():
            yield unescape(tag.attributes.get("content", ""))
        at = max(tag.end if tag else 0, at + 1)


def _json_ld(found: Marks) -> Iterator[str]:
    things, _ = jsonld.things(found.json_ld())
    for thing in things:
        if not {"WebSite", "Organization", "ItemList", "BreadcrumbList"} & set(jsonld.types(thing)):
            yield from _prose(thing, 0)


def _prose(value: Any, deep: int) -> Iterator[str]:
    """The texts of a thing, and of its questions, answers, steps and comments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and deep < MOST_DEEP:
        for one in value:
            yield from _prose(one, deep + 1)
    elif isinstance(value, dict) and deep < MOST_DEEP:
        if NAMED & set(jsonld.types(value)):
            yield from _prose(value.get("name"), deep + 1)
        kept = [key for key in TEXTS if key in value]
        if len(kept) > 1 and kept[0] in ("articleBody", "text") and "description" in kept:
            kept.remove("description")
        for key in kept:
            yield from _prose(value[key], deep + 1)
        for key in PARTS:
            if not isinstance(value.get(key), str | None) or key == "recipeInstructions":
                yield from _prose(value.get(key), deep + 1)


def _next_data(found: Marks) -> Iterator[str]:
    for attributes, start, stop in found.scripts:
        if attributes.get("id") == "__NEXT_DATA__":
            todo: list[tuple[str, Any]] = [("", jsonld.loads(found.page[start:stop]))]
            while todo:
                key, value = todo.pop()
                if isinstance(value, dict):
                    todo += reversed(value.items())
                elif isinstance(value, list):
                    todo += [(key, one) for one in reversed(value)]
                elif isinstance(value, str) and key.lower() in NEXT_KEYS and _is_prose(value):
                    yield value


def _is_prose(text: str) -> bool:
    """Whether a string is text that people read: long, with sentences, and no data itself."""
    start = text.lstrip()[:1]
    return (
        len(text) >= PROSE_CHARACTERS
        and start not in ("{", "[")
        and bool(re.search(r"\w[.!?。！？](?:[\s<\"”’]|$)|[。！？]", text))
    )
