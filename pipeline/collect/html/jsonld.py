"""JSON that stands in the scripts of pages, and the things that JSON-LD describes by types of schema.org.

Guarantee: what cannot be read is a typed, counted outcome (`None`), also 100,000 levels, numbers without end, and JSON that
would take more memory than a parser has. Cost: 100 MB per second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from tokenmill.pipeline.collect.html.marks import clean

MOST_VALUES = 500_000
"""Values of a text of JSON, by its commas and brackets. As many take about 100 MB."""
MOST_THINGS = 10_000
MOST_NAMES = 50
BEGIN = re.compile(r"(?<!<!)(?<!CDATA)[\[{]")
"""The first bracket, but for those of a CDATA section."""
JSON_LD = "json-ld"
"""Where values were found, as metadata say it."""
ARTICLE = re.compile(r".*(?:Article|Posting|Report|Review)|Recipe|HowTo|Question|FAQPage|QAPage")
WORK = re.compile(r"Product|ProductGroup|Book|Course|Event|Movie|VideoObject|SoftwareApplication|Dataset|CreativeWork")
PAGE = re.compile(r".*Page")
BEHIND = " \t\r\n;/*"

Thing = dict[str, Any]


def loads(text: str) -> Any:
    """The value of a text of JSON; None if it is no JSON, too large, or too deep. Raw line breaks in strings are let pass."""
    if text.count(",") + text.count("{") + text.count("[") > MOST_VALUES:
        return None
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        # Of a number of more than 4,300 digits, too.
        return None


def things(scripts: Iterable[str]) -> tuple[list[Thing], int]:
    """What scripts of JSON-LD describe at their top, in order, and how many scripts could not be read.

    At the top are the value itself, the items of a list or of `@graph`, and what is the main entity of one of these.
    """
    found: list[Thing] = []
    broken = 0
    for script in scripts:
        if not script.strip():
            continue
        value = loads(_unwrapped(script))
        broken += value is None
        todo = [value]
        while todo and len(found) < MOST_THINGS:
            one = todo.pop()
            if isinstance(one, list):
                todo += reversed(one)
            elif isinstance(one, dict):
                found.append(one)
                todo += [one[key] for key in ("mainEntityOfPage", "mainEntity") if isinstance(one.get(key), dict)]
                todo += [one["@graph"]] if isinstance(one.get("@graph"), list | dict) else []
    return found, broken


def types(thing: Thing) -> list[str]:
    """The types of a thing, without the address of schema.org."""
    named = thing.get("@type")
    return [name.rpartition("/")[2] for name in (named if isinstance(named, list) else [named]) if isinstance(name, str)]


def main(top: list[Thing], addresses: set[str]) -> Thing | None:
    """What a page is about: its article, else its product or the like, else the page itself; None where several could be it.

    addresses: of the page; they decide between several.
    """
    for kind in (ARTICLE, WORK, PAGE):
        of_kind = [
            one for one in top if any(map(kind.fullmatch, types(one))) and (text(one.get("headline")) or text(one.get("name")))
        ]
        if len(of_kind) > 1:
            of_kind = [one for one in of_kind if addresses.intersection(_addresses(one))] or of_kind
        if of_kind and len({text(one.get("headline")) or text(one.get("name")) for one in of_kind}) == 1:
            return of_kind[0]
    return None


def by_id(top: list[Thing]) -> dict[str, Thing]:
    """Things by the identifier that others refer to them with."""
    return {one["@id"]: one for one in top if isinstance(one.get("@id"), str)}


def text(value: Any) -> str:
    """A string, a value with a language, or the first of a list of these, in one line; else ""."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        value = value.get("@value")
    return clean(value) if isinstance(value, str) else ""


def names(value: Any, by_id: dict[str, Thing]) -> list[str]:
    """The names of a person or an organisation, or of several: strings, things with a name, or references to such things."""
    found = []
    for one in value[:MOST_NAMES] if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            reference = one.get("@id")
            known = by_id.get(reference, one) if isinstance(reference, str) else one
            one = text(one.get("name")) or text(known.get("name"))
        if isinstance(one, str) and (name := clean(one)):
            found.append(name)
    return list(dict.fromkeys(found))


def _addresses(thing: Thing) -> list[str]:
    pages = [thing.get("url"), thing.get("@id"), thing.get("mainEntityOfPage")]
    pages += [page.get("@id") for page in pages if isinstance(page, dict)]
    return [page for page in pages if isinstance(page, str)]


def _unwrapped(script: str) -> str:
    """The content of a script without a comment or a CDATA section around it."""
    begin = BEGIN.search(script)
    kept = script[begin.start() :] if begin else script
    return kept.rstrip(BEHIND).removesuffix("]]>").removesuffix("-->").rstrip(BEHIND)
