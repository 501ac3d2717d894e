"""Who wrote a page, and when, where only its visible elements say so: `itemprop`, `rel=author`, bylines, `time`.

Guarantee: a name or a date counts only if the elements of its kind all say the same, since pages also show authors and dates of
comments and of other pages. Cost: one search near the heading for each word, and 5 us for each element that is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tokenmill.pipeline.collect.html import dates
from tokenmill.pipeline.collect.html.marks import Marks, Tag, clean

NAME_CHARACTERS = 100
"""A longer text is not a name."""
BYLINES = {
    *("byline", "by-line", "byline-name", "byline-author", "byline__name", "byline__author", "c-byline"),
    *("author", "author-name", "author__name", "post-author", "post__author", "entry-author", "article-author", "p-author"),
}
"""Classes of elements whose text is the author's name."""
BY = re.compile(
    r"(?:(?:(?:authored|edited|posted|published|story|text|updated|words|written) )?by|von|par|por|di|door|af|av|autore?|author"
    r"|作者|撰文|記者|记者|文)"
    r"(?:\s*[:：/／]\s*|\s+|$)",
    re.IGNORECASE,
)
NO_NAME = re.compile(r"https?:|www\.|[@{}<>\[\]|]|[0-9]{3}")
NOBODY = {"by", "admin", "administrator", "author", "unknown", "anonymous", "guest", "undefined", "null", "none", "n/a"}
INNER_NAME = re.compile(r"itemprop\s*=\s*[\"']?name[\"']?(?=[\s/>])[^<>]*>([^<>]{1,100})<", re.IGNORECASE)
INNER_CHARACTERS = 600


def person(written: str) -> str:
    """The name of a person or an organisation without "by" before it; "" for addresses, placeholders and longer texts."""
    name = clean(written)
    if by := BY.match(name):
        name = name[by.end() :]
    name = name.strip(" ,;|·•-–—")
    return "" if len(name) > NAME_CHARACTERS or NO_NAME.search(name) or name.casefold() in NOBODY else name


def authors(found: Marks) -> Iterator[tuple[str, str]]:
    """The author by the elements of a page, by descending trust, with what says so."""
    marked: list[str] = []
    linked: list[str] = []
    lines: list[str] = []
    for tag in found.near("author"):
        if "author" in _words(tag, "itemprop"):
            inner = INNER_NAME.search(found.page, tag.end, tag.end + INNER_CHARACTERS)
            marked.append(tag.attributes.get("content") or (inner[1] if inner else found.text_of(tag)))
        elif "author" in _words(tag, "rel") and tag.name == "a":
            linked.append(found.text_of(tag))
        elif BYLINES & _words(tag, "class"):
            lines.append(found.text_of(tag))
    yield _only(map(person, marked)), "itemprop"
    yield _only(map(person, linked)), "rel=author"
    lines += [found.text_of(tag) for tag in found.near("byline") if BYLINES & _words(tag, "class")]
    yield _only(map(person, lines)), "byline"


def dated(found: Marks) -> Iterator[tuple[str, str]]:
    """The date by the elements of a page, by descending trust, with what says so."""
    marked = [tag for tag in found.near("datePublished") if "datepublished" in _words(tag, "itemprop")]
    yield _only(_date(found, tag) for tag in marked), "itemprop"
    times = [(tag, dates.iso(clean(tag.attributes.get("datetime", ""))) or "") for tag in found.named("time")]
    yield _only(date for tag, date in times if "pubdate" in tag.attributes or _says_published(tag)), "time"
    yield _only(date for _, date in times), "time"


def _date(found: Marks, tag: Tag) -> str:
    written = tag.attributes.get("content") or tag.attributes.get("datetime")
    return dates.iso(clean(written) if written else found.text_of(tag)) or ""


def _words(tag: Tag, attribute: str) -> set[str]:
    return set(tag.attributes.get(attribute, "").lower().split())


def _says_published(tag: Tag) -> bool:
    style = tag.attributes.get("class", "").lower()
    return "publish" in style or "entry-date" in style


def _only(values: Iterable[str]) -> str:
    """The one value that is not empty; "" if there are none or several."""
    different = set(values) - {""}
    return different.pop() if len(different) == 1 else ""
