"""The encoding that a page declares in its markup: a meta element, or else an XML declaration.

Source: "prescan a byte stream to determine its encoding" in the HTML standard,
https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding. The standard looks at the
first 1,024 bytes; a browser that meets a declaration later starts again with it, so `later` looks further.
Guarantee: time is linear in what is looked at.
"""

from __future__ import annotations

import re
from typing import Literal

from tokenmill.pipeline.collect.charset.labels import MOST_LABEL_CHARACTERS, NAMES, named

Place = Literal["meta", "xml"]

PRESCAN_BYTES = 1_024
LATER_BYTES = 1 << 18
"""Bytes in which `later` looks for a declaration."""

SPACE = rb"\t\n\f\r "
MARKUP = re.compile(rb"<(?:(?P<comment>!--)|(?P<tag>/?[A-Za-z][^" + SPACE + rb">]*)|(?P<other>[!/?]))")
META = re.compile(rb"meta(?![^/])", re.IGNORECASE)
RAW = re.compile(rb"(?:script|style|textarea|title|xmp|iframe|noembed|noframes)\Z", re.IGNORECASE)
"""Elements whose content is no markup."""
BETWEEN = re.compile(rb"[" + SPACE + rb"/]*")
NAME = re.compile(rb"([^" + SPACE + rb"/>][^" + SPACE + rb"/>=]*)[" + SPACE + rb"]*(=?)[" + SPACE + rb"]*")
UNQUOTED = re.compile(rb"[^" + SPACE + rb">]*")
CHARSET = re.compile(rb"charset[" + SPACE + rb"]*=[" + SPACE + rb"]*", re.IGNORECASE)
XML = re.compile(rb"<\?xml[^>]*?encoding[\x00- ]*=[\x00- ]*(?:\"([^\"\x00- >]*)\"|'([^'\x00- >]*)')")


def prescan(data: bytes) -> tuple[str, Place] | None:
    """The label that the first bytes of a page declare, and "meta" or "xml", where it stands; None if there is none.

    The label names an encoding of the standard (`labels.named`); `meant` says which one it stands for.
    """
    head = data[:PRESCAN_BYTES]
    if label := _meta(head, skip_raw=False):
        return label, "meta"
    # `[^>]*?` is tried once, since the match begins with the data.
    found = XML.match(head)
    label = _label(found[1] or found[2] or b"") if found else None
    return (label, "xml") if label else None


def later(data: bytes) -> str | None:
    """The label that a meta element further in declares. Scripts, styles and the like are not searched."""
    head = data[:LATER_BYTES]
    return _meta(head, skip_raw=True) if CHARSET.search(head) else None


def meant(label: str, place: Place) -> str | None:
    """The encoding that a label in markup stands for. What can be read as ASCII is not UTF-16, whatever it says."""
    name = named(label)
    if place == "meta" and name == "x-user-defined":
        return "windows-1252"
    return "utf-8" if name in ("utf-16le", "utf-16be") else name


def _label(value: bytes) -> str | None:
    """A label that names an encoding, in lower case and without white space around it; else None."""
    if len(value) > MOST_LABEL_CHARACTERS:
        return None
    label = value.decode("latin-1").strip("\t\n\f\r ").lower()
    return label if label in NAMES else None


def _meta(data: bytes, *, skip_raw: bool) -> str | None:
    at = 0
    while found := MARKUP.search(data, at):
        at = found.end()
        if found["comment"]:
            # The two hyphens may be those of "-->", too.
            at = data.find(b"-->", found.start() + 2) + 3
            if at < 3:
                return None
        elif found["other"]:
            at = data.find(b">", found.start() + 1) + 1
            if not at:
                return None
        else:
            tag = found["tag"]
            if META.match(tag):
                # "<meta/charset=x>" is a tag with an attribute.
                at = found.start() + 5
            attributes, at = _attributes(data, at)
            if at < 0:
                return None
            if META.match(tag) and (label := _declared(attributes)):
                return label
            if skip_raw and RAW.match(tag):
                end = re.compile(rb"</" + tag, re.IGNORECASE).search(data, at)
                if not end:
                    return None
                at = end.start()
    return None


def _attributes(data: bytes, at: int) -> tuple[dict[bytes, bytes], int]:
    """The attributes from `at` on, the first of each name, and where the tag ends; -1 if the data end within it."""
    attributes: dict[bytes, bytes] = {}
    while True:
        at = _skip(BETWEEN, data, at)
        if at >= len(data):
            return attributes, -1
        if data[at : at + 1] == b">":
            return attributes, at + 1
        name = NAME.match(data, at)
        assert name is not None, "what is no end and no blank begins a name"
        at = name.end()
        if at >= len(data):
            return attributes, -1
        value = b""
        if name[2]:
            quote = data[at : at + 1]
            if quote in (b'"', b"'"):
                end = data.find(quote, at + 1)
                if end < 0:
                    return attributes, -1
                value, at = data[at + 1 : end], end + 1
            else:
                end = _skip(UNQUOTED, data, at)
                value, at = data[at:end], end
        if len(name[1]) <= MOST_LABEL_CHARACTERS:
            attributes.setdefault(name[1].lower(), value)


def _skip(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    return found.end() if found else at


def _declared(attributes: dict[bytes, bytes]) -> str | None:
    """The label of a meta element."""
    if b"charset" in attributes:
        return _label(attributes[b"charset"])
    if attributes.get(b"http-equiv", b"").lower() == b"content-type":
        return _of_content(attributes.get(b"content", b""))
    return None


def _of_content(value: bytes) -> str | None:
    """The label in a content type, "extracting a character encoding from a meta element" of the standard."""
    found = CHARSET.search(value)
    if not found:
        return None
    rest = value[found.end() :]
    if rest[:1] in (b'"', b"'"):
        end = rest.find(rest[:1], 1)
        return _label(rest[1:end]) if end > 0 else None
    return _label(re.split(rb"[" + SPACE + rb";]", rest, maxsplit=1)[0])
