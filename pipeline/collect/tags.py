"""What would stall the parser of HTML, found in the tags before it runs.

Purpose: a page of 100 kB may take minutes: the parser and the extraction are quadratic in attributes, in depth, in elements
that stay open and in end tags without a start.
Source: tags, and which elements stay open, as sections 13.2.5 and 13.2.6 of the HTML standard have them.
Guarantee: the checks are linear in the size of the page, whatever it holds. What passes takes seconds at most. The counts are
of work, so that they decide alike on every machine.
Cost: a tenth of the extraction.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from tokenmill.pipeline.base.errors import RecordError

DEEPEST = 512
"""Browsers do not build deeper trees. Main-content extraction is quadratic in depth: 4 s at 20,000, an hour at a million."""
FORMATTING = frozenset({"b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"})
"""Elements that stay open across others until their end tag: the list of active formatting elements of the HTML standard. "a"
is one too, but a second one ends the first."""
MOST_EQUAL = 3
OUTLINE = re.compile(rf"<(/?)(?:(div|article)|({'|'.join(sorted(FORMATTING))})|html|body)\b", re.IGNORECASE)
MOST_ATTRIBUTES = 2_000
"""Most attributes of one element. Parsing is quadratic in their number: 0.3 s at 12,500, 4 s at 50,000."""
UNCLOSED = 4_000
"""Characters without ">" that a tag with so many attributes has, or it has ">" in quoted values."""
GAP = re.compile(rf">[^>]{{{UNCLOSED},}}+")
BEGIN_OF_TAG = re.compile(r"</?[A-Za-z]")
BRACKET_IN_VALUE = re.compile(r"=[\t\n\f\r ]*+(?:\"[^\"<>]*+[<>]|'[^'<>]*+[<>])")
FEW_BRACKETS = 4
ATTRIBUTE = re.compile(
    r"""[\t\n\f\r /]*+[^\t\n\f\r />][^\t\n\f\r />=]*+"""
    r"""(?:[\t\n\f\r ]*+=[\t\n\f\r ]*+(?:"[^"]*+"?|'[^']*+'?|[^\t\n\f\r >"'][^\t\n\f\r >]*+)?+)?+"""
)
TAG = re.compile(rf"<(?:!--(?s:.*?)(?:-->|\Z)|(/?[A-Za-z][^\t\n\f\r />]*+)((?:{ATTRIBUTE.pattern})*+))")
"""A comment or a tag, as the tokenizer of the HTML standard reads them: quotes count only after "=", and an attribute needs no
space before it. Nothing is read twice, so a scan is linear whatever the page holds."""
IN_TABLES = frozenset({"tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "caption"})
IMPLIED = IN_TABLES | {"p", "li", "dt", "dd", "option", "optgroup", "rp", "rt"}
"""Elements whose end tags may be left out."""
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
MOST_WORK = 2_000_000_000
"""Most nanoseconds of the parser, as `_check_work` counts them."""
END_TAG, FORMATTING_TAG, REOPENED, OPTION = 4, 20, 2_000, 7
"""Nanoseconds, measured, of a tag for each element before it: of an end tag that is not of the innermost element, for each open
element; of the tag of a formatting element, for each other one that is open; of another tag, after which these are opened anew
and take 400 bytes; of an option, for each one before it."""
MOST_BYTES = 450 << 20
TAG_BYTES, ATTRIBUTE_BYTES = 400, 250
"""Bytes of the parser's memory, measured: most of a page, and those of a tag with a word after it and of an attribute."""
FEW_TAGS = 20_000
"""A page with fewer has no stack of elements that would be too much work."""
RAW_TEXT = frozenset({"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"})
"""Elements without tags in them."""


def check(html: str) -> int:
    """How deep the containers of a page are nested. Raises RecordError (hostile_html) for tags made to stall the parser."""
    deepest, roots, formatting = _outline(html)
    # Looking at every tag takes a fifth of the time of the extraction, so only pages are scanned that may have such a tag.
    if roots > FEW_BRACKETS or _unclosed(html) or _many_brackets(html):
        _check_attributes(html)
    brackets, values = html.count("<"), html.count("=")
    starts = brackets - html.count("</")
    if TAG_BYTES * starts + ATTRIBUTE_BYTES * values > MOST_BYTES:
        message = f"{starts} tags and {values} attributes would take more than {MOST_BYTES >> 20} MiB"
        raise RecordError("hostile_html", message)
    if brackets > FEW_TAGS or formatting * brackets * REOPENED > MOST_WORK:
        _check_work(html)
    return deepest


def _outline(html: str) -> tuple[int, int, int]:
    """How deep containers are nested, how many tags add attributes to the root or the body, and how many open formatting."""
    deepest = depth = roots = formatting = 0
    for tag in OUTLINE.finditer(html):
        if tag[2] is not None:
            depth = max(0, depth - 1) if tag[1] else depth + 1
            deepest = max(deepest, depth)
        elif not tag[1]:
            formatting += tag[3] is not None
            roots += tag[3] is None
    return deepest, roots, formatting


def _unclosed(html: str) -> bool:
    """Whether `UNCLOSED` characters without ">" follow what may be the beginning of a tag."""
    html = f">{html}"
    for gap in GAP.finditer(html):
        begin = BEGIN_OF_TAG.search(html, gap.start(), gap.end())
        if begin is not None and gap.end() - begin.start() > UNCLOSED:
            return True
    return False


def _many_brackets(html: str) -> bool:
    """Whether several quoted values hold "<" or ">", so that a tag may be longer than it seems."""
    return next(itertools.islice(BRACKET_IN_VALUE.finditer(html), FEW_BRACKETS, None), None) is not None


def _check_attributes(html: str) -> None:
    """Raise RecordError (hostile_html) if an element has more than `MOST_ATTRIBUTES`."""
    of_roots = 0
    for tag in _tags(html):
        root = tag[1].lower() in ("html", "body")
        # An attribute takes two characters at least.
        if root or tag.end() - tag.start() > 2 * MOST_ATTRIBUTES:
            count = sum(1 for _ in ATTRIBUTE.finditer(tag[2]))
            of_roots += count if root else 0
            if max(count, of_roots) > MOST_ATTRIBUTES:
                message = f"a tag at character {tag.start()} has more than {MOST_ATTRIBUTES} attributes"
                raise RecordError("hostile_html", message)


def _check_work(html: str) -> None:
    """Raise RecordError (hostile_html) if the elements that stay open make more work than `MOST_WORK`."""
    work = options = 0
    elements: list[str] = []
    opened = Counter[str]()
    formatting = _Formatting()
    for tag in _tags(html):
        name = tag[1].lower()
        work += (FORMATTING_TAG if name.strip("/") in FORMATTING else REOPENED) * formatting.size
        if name == "option":
            work += OPTION * options
            options += 1
        elif name == "select":
            options = 0
        if name.startswith("/"):
            name = name[1:]
            if not elements or elements[-1] != name:
                work += END_TAG * len(elements)
            formatting.end(name)
            while opened[name]:
                opened[last := elements.pop()] -= 1
                if last == name:
                    break
        elif name not in IMPLIED and name not in VOID:
            elements.append(name)
            opened[name] += 1
            formatting.begin(name, tag[0])
        if work > MOST_WORK:
            message = f"the elements that are open at character {tag.start()} make every further tag slow"
            raise RecordError("hostile_html", message)


class _Formatting:
    """How many formatting elements are open. Of equal ones the parser keeps the last three."""

    def __init__(self) -> None:
        self.size = 0
        self._tags: defaultdict[str, list[str]] = defaultdict(list)
        self._equal = Counter[str]()

    def begin(self, name: str, tag: str) -> None:
        if name in FORMATTING and self._equal[tag] < MOST_EQUAL:
            self.size += 1
            self._tags[name].append(tag)
            self._equal[tag] += 1

    def end(self, name: str) -> None:
        if self._tags.get(name):
            self.size -= 1
            self._equal[self._tags[name].pop()] -= 1


def _tags(html: str) -> Iterator[re.Match[str]]:
    """The tags of a page: group 1 is the name, after "/" in an end tag, group 2 the attributes."""
    at = 0
    while (tag := TAG.search(html, at)) is not None:
        at = tag.end()
        if tag[1] is None:
            continue
        yield tag
        if (name := tag[1].lower()) in RAW_TEXT:
            end = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(html, at)
            at = end.start() if end is not None else len(html)
