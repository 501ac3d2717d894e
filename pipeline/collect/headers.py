"""Header fields of a WARC record and of an HTTP message, and what a MIME type in them means.

Source: RFC 9112, section 5, and ISO 28500, section 4: names in any case; a line that begins with white space goes on with the
value before. Types are extracted as by the Fetch standard ("extract a MIME type"), and sniffed as by MIME Sniffing.
Guarantee: a line that is no field is ignored, as browsers do. Cost: linear in the header.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

END = re.compile(rb"\r?\n\r?\n")
FOLD = re.compile(rb"\r?\n[ \t]+")
TYPE = re.compile(r"\s*([\w!#$&^.+-]+/[\w!#$&^.+-]+)", re.ASCII)
CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"',;]+)", re.IGNORECASE)
UNKNOWN = ("unknown/unknown", "application/unknown", "*/*")
"""Types that say as much as none."""
HTML = ("text/html", "application/xhtml+xml")
SNIFFED_BYTES = 1_445
TAGS = rb"html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!doctype[\t\n\x0c\r ]+html"
MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?[\t\n\x0c\r ]*<(?:!--|(?:" + TAGS + rb")[\t\n\x0c\r />])", re.IGNORECASE)
"""The signatures of HTML in the MIME Sniffing standard, after a byte order mark. There, a tag ends in a space or in ">"."""
XHTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\b")
ROOT = re.compile(rb"<(?:!doctype\s+html|html)\b", re.IGNORECASE)

Fields = Mapping[str, tuple[str, ...]]
"""The values of each field in their order, by its name in lower case."""


def fields(head: bytes) -> Fields:
    """The fields of a header, whose first line is none."""
    found: dict[str, tuple[str, ...]] = {}
    for line in FOLD.sub(b" ", head).splitlines()[1:]:
        name, colon, value = line.partition(b":")
        if colon and (key := name.strip().lower().decode("latin-1")):
            found[key] = (*found.get(key, ()), _text(value.strip()))
    return found


def first(found: Fields, name: str) -> str | None:
    """The first value of a field; None if there is none, or if it is empty."""
    return found.get(name, ("",))[0] or None


def listed(found: Fields, name: str) -> list[str]:
    """The members of a list of tokens, which may stand in several fields, in lower case."""
    return [one for value in found.get(name, ()) for token in value.lower().split(",") if (one := token.strip(" \t\"'"))]


def mime_type(found: Fields) -> tuple[str, str | None]:
    """The type and the charset that `Content-Type` states; "" for no type. Where it names several, the last one holds."""
    stated = ",".join(found.get("content-type", ()))
    types = [match[1].lower() for part in stated.split(",") if (match := TYPE.match(part))]
    charsets = CHARSET.findall(stated)
    mime = types[-1] if types and types[-1] not in UNKNOWN else ""
    return mime, charsets[-1] if charsets else None


def sniffed(body: bytes) -> str:
    """The type of a body whose header states none: "text/html" if it begins like HTML, else ""."""
    head = body[:SNIFFED_BYTES]
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head[2:].replace(b"\0", b"")
    return "text/html" if MARKUP.match(head) or (XHTML.match(head) and ROOT.search(head)) else ""


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
