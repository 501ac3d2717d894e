"""What a page says about itself, as it stands in the source: `meta`, `link`, `title`, `h1`, `time`, and scripts that hold data.

Purpose: one pass that metadata and embedded text are read from, without a tree of the page, whatever takes out its main text.
Guarantee: what stands in comments, styles, scripts and other elements without tags is no tag. The work is linear: of a page
with more than `MOST_TAGS` such tags the first are read, and of a tag `TAG_CHARACTERS`.
Cost: 500 MB of page per second: 1 GB per second for the search, and some microseconds for each tag that is read.
"""

from __future__ import annotations

import bisect
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MOST_TAGS = 5_000
TAG_CHARACTERS = 8_192
"""Characters of a tag with its attributes. A longer one is not read."""
ELEMENT_CHARACTERS = 2_000
"""Characters of an element whose text is read, such as `h1`."""
TYPE_CHARACTERS = 500
"""Characters of a script's tag in which its type stands."""
NEAR_CHARACTERS = 20_000
"""Characters around the heading of a page in which its author and its date are looked for; a quarter of them before it."""
# The search rejects most tags by two letters, and by their first words the many `link` and `meta` that are about other things.
WANTED = re.compile(
    r"<(?=[!mlthsb][-eictat1])(?:!--"
    r"|(?P<name>meta(?!\s(?:name|property)=[\"']?(?:og:[idv]|twitter:[^t]|[fgmrv]))"
    r"|link(?=[^<>]{0,300}canonical)|title|time|script|style|base|h1|html|textarea|template)(?=[\s/>]))",
    re.IGNORECASE,
)
ATTRIBUTES = re.compile(r"(?:[^\"'>]++|\"[^\"]*+\"|'[^']*+')*+>")
ATTRIBUTE = re.compile(r"([^\s\"'>/=][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>]++)))?+")
USUAL = re.compile(r"\s(\w[\w-]*+)=\"([^\"]*+)\"\s++(\w++)=\"([^\"]*+)\"\s*+/?>")
"""The rest of a tag with two attributes, as most `meta` are written; read in one step."""
START = re.compile(r"<([A-Za-z][A-Za-z0-9:-]{0,30})(?=[\s/>])")
INNER = re.compile(r"</?[A-Za-z!][^<>]*+>?")
ENDS = {
    name: re.compile(f"</{name}(?=[\\s/>])", re.IGNORECASE) for name in ("script", "style", "title", "textarea", "template")
}
OPAQUE = ("script", "style", "textarea", "template")
"""Elements in which tags say nothing about the page."""
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
UNSEEN = re.compile(r"[\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")
"""Marks that reorder what is shown, characters without a width, and halves of surrogate pairs; not joiners of letters."""


class Tag(NamedTuple):
    """A start tag. attributes: by name in lower case, values as they stand in the source; see `clean`. end: behind its ">"."""

    name: str
    attributes: Mapping[str, str]
    end: int


@dataclass(kw_only=True)
class Marks:
    """What `marks` found.

    tags: `html`, `base`, `meta`, `time`, and `link` for canonical addresses, in order. title, heading: texts of the first
    `title` and `h1`, None where there is none; the latter stands at `heading_at`. scripts: those with JSON, as attributes,
    begin and end of their content. opaque: begins and ends of what holds no tags.
    """

    page: str
    tags: list[Tag] = field(default_factory=list)
    title: str | None = None
    heading: str | None = None
    heading_at: int = 0
    scripts: list[tuple[Mapping[str, str], int, int]] = field(default_factory=list)
    opaque: list[tuple[int, int]] = field(default_factory=list)

    def named(self, name: str) -> Iterator[Tag]:
        """The tags of a name, in order."""
        return (tag for tag in self.tags if tag.name == name)

    def json_ld(self) -> Iterator[str]:
        """The contents of scripts with JSON-LD, in order."""
        for attributes, start, stop in self.scripts:
            if "ld+json" in clean(attributes.get("type", "")).lower():
                yield self.page[start:stop]

    def is_opaque(self, at: int) -> bool:
        """Whether a place is in a comment, a script or the like."""
        row = bisect.bisect_right(self.opaque, (at, len(self.page))) - 1
        return row >= 0 and self.opaque[row][0] <= at < self.opaque[row][1]

    def near(self, word: str) -> Iterator[Tag]:
        """Start tags near the heading whose attributes hold `word`, spelled so."""
        begin = max(0, self.heading_at - NEAR_CHARACTERS // 4)
        stop = begin + NEAR_CHARACTERS
        at = self.page.find(word, begin, stop)
        while at >= 0:
            begin = self.page.rfind("<", max(0, at - ELEMENT_CHARACTERS), at)
            end = at + len(word)
            if begin >= 0 and (start := START.match(self.page, begin)) and not self.is_opaque(begin):
                tag = read_tag(self.page, start[1], start.end())
                if tag is not None and tag.end > at:
                    yield tag
                    end = tag.end
            at = self.page.find(word, end, stop)

    def text_of(self, tag: Tag) -> str:
        """The text of the element of `tag` up to its first end tag; empty if it has none in `ELEMENT_CHARACTERS`."""
        window = self.page[tag.end : tag.end + ELEMENT_CHARACTERS]
        stop = window.lower().find(f"</{tag.name}")
        text = window[: max(0, stop)]
        return clean(text if tag.name == "title" else INNER.sub(" ", text))


def unescape(text: str) -> str:
    """With references to characters resolved. A reference of thousands of digits leaves the text as it is."""
    if "&" not in text:
        return text
    try:
        return html.unescape(text)
    except ValueError:
        # Python refuses to read numbers of more than 4,300 digits.
        return text


def clean(text: str) -> str:
    """With references resolved, in one line, without control characters and what cannot be seen or encoded."""
    return " ".join(UNSEEN.sub("", CONTROLS.sub(" ", unescape(text))).split())


def read_tag(page: str, name: str, at: int, most: int = TAG_CHARACTERS) -> Tag | None:
    """The start tag whose name ends at `at`; None if it does not end in `most` characters."""
    if usual := USUAL.match(page, at, at + most):
        key, value, other, content = usual.groups()
        return Tag(name.lower(), {other.lower(): content, key.lower(): value}, usual.end())
    end = ATTRIBUTES.match(page, at, at + most)
    if end is None:
        return None
    # The first attribute of a name counts.
    written = reversed(ATTRIBUTE.findall(page, at, end.end() - 1))
    attributes = {key.lower(): double or single or bare for key, double, single, bare in written}
    return Tag(name.lower(), attributes, end.end())


def marks(page: str) -> Marks:
    """The marks of a decoded page."""
    found = Marks(page=page)
    at, left, stop = 0, MOST_TAGS, len(page)
    while left and (hit := WANTED.search(page, at, stop)):
        at = hit.end()
        if hit["name"] is None:
            behind = page.find("-->", at - 2) + 3
            at = behind if behind > 2 else len(page)
            found.opaque.append((hit.start(), at))
            continue
        name = hit["name"].lower()
        if name in OPAQUE:
            if name == "script" and "json" in page[at : at + TYPE_CHARACTERS].lower():
                left -= _keep_script(found, at)
            end = ENDS[name].search(page, at)
            at = end.start() if end else len(page)
            found.opaque.append((hit.start(), at))
        elif name == "h1":
            if found.heading is None:
                at = _read_heading(found, at)
                stop = min(stop, at + NEAR_CHARACTERS)
        elif name == "title":
            if found.title is None:
                at = _read_title(found, at)
        else:
            left -= 1
            if tag := read_tag(page, name, at):
                found.tags.append(tag)
                at = tag.end
    while left and (at := page.find("ld+json", at)) >= 0:
        left -= 1
        begin = page.rfind("<script", max(0, at - TYPE_CHARACTERS), at)
        if begin >= 0:
            _keep_script(found, begin + len("<script"))
        at += 1
    return found


def _keep_script(found: Marks, at: int) -> bool:
    """Keep a script with JSON, and say whether it is one."""
    tag = read_tag(found.page, "script", at)
    if tag is None or "json" not in tag.attributes.get("type", "").lower():
        return False
    end = ENDS["script"].search(found.page, tag.end)
    found.scripts.append((tag.attributes, tag.end, end.start() if end else len(found.page)))
    return True


def _read_heading(found: Marks, at: int) -> int:
    """Keep the text of the first `h1`. Returns where to go on."""
    tag = read_tag(found.page, "h1", at)
    found.heading, found.heading_at = found.text_of(tag) if tag else "", at
    return tag.end if tag else at


def _read_title(found: Marks, at: int) -> int:
    """Keep the text of the first `title`, unless it is that of a picture. Returns where to go on."""
    tag = read_tag(found.page, "title", at)
    found.title = found.text_of(tag) if tag and found.page.find("<svg", 0, at) < 0 else ""
    return tag.end if tag else at
