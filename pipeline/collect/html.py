"""HTML bytes to main text, and bytes of unknown encoding to text.

Purpose: one way from markup to text for files, web archives and installed pages.
Source: resiliparse extracts the main content and detects encodings. The order of evidence for the encoding, and the bytes that
indicate binary data, follow the WHATWG Encoding and MIME Sniffing standards.
Guarantee: time is linear in the size of the page. Where the extraction would be quadratic, it gets less work.
Cost: about 30 MB of HTML per second.
"""

from __future__ import annotations

import codecs
import itertools
import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

from tokenmill.pipeline.base.errors import RecordError

SNIFFED_BYTES = 1_445
"""Bytes of a resource that the MIME Sniffing standard looks at."""
BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
DEEPEST = 512
"""Browsers do not build deeper trees. Main-content extraction is quadratic in depth: 4 s at 20,000, an hour at a million."""
OUTLINE = re.compile(r"<(/?)(?:(div|article)|html|body)\b", re.IGNORECASE)
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
RAW_TEXT = frozenset({"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"})
"""Elements without tags in them."""
DECLARED_BYTES = 1_024
"""The HTML standard requires a declaration of the encoding within this many bytes."""
DECLARATION = re.compile(rb"charset\s*=", re.IGNORECASE)
BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def is_binary(data: bytes, charset: str | None = None) -> bool:
    """Whether bytes that claim to be text are binary data, judged by their beginning."""
    wide = (charset or "").lower().startswith(("utf-16", "utf-32", "utf16")) or data.startswith((BOMS[1][0], BOMS[2][0]))
    return not wide and BINARY.search(data[:SNIFFED_BYTES]) is not None


def decode(data: bytes, charset: str | None = None, *, meta: bool = False) -> tuple[str, str]:
    """Text and the name of its encoding.

    Evidence in this order: byte order mark, `charset` (from HTTP), an HTML declaration if `meta`, valid UTF-8 (bytes in other
    encodings are hardly ever valid UTF-8), detection.
    """
    marked = next((name for mark, name in BOMS if data.startswith(mark)), None)
    encoding = marked or (_known(charset) if charset else None)
    declares = meta and DECLARATION.search(data[:DECLARED_BYTES]) is not None
    if encoding is None:
        encoding = "utf-8" if not declares and _is_utf8(data) else detect_encoding(data, from_html_meta=meta) or "utf-8"
    return bytes_to_str(data, encoding, errors="replace"), encoding


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _known(charset: str) -> str | None:
    """The encoding that browsers use for this label, if Python supports it too; else None."""
    try:
        name = map_encoding_to_html5(charset.strip("\"' "), fallback_utf8=False)
        return codecs.lookup(name).name if name else None
    except (LookupError, ValueError):
        return None


def main_text(html: str) -> str:
    """The main content of a page as text. Raises RecordError (hostile_html) for tags made to stall the parser."""
    deepest, roots = _outline(html)
    # Looking at every tag takes a tenth of the time of the extraction, so only pages are scanned that may have such a tag.
    if roots > FEW_BRACKETS or _unclosed(html) or _many_brackets(html):
        _check_attributes(html)
    text: str = extract_plain_text(html, main_content=deepest <= DEEPEST)
    return text


def _outline(html: str) -> tuple[int, int]:
    """How deep containers are nested, and how many tags add their attributes to the root or the body of the page."""
    deepest = depth = roots = 0
    for tag in OUTLINE.finditer(html):
        if tag[2] is None:
            roots += not tag[1]
            continue
        depth = max(0, depth - 1) if tag[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest, roots


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
    at = of_roots = 0
    while (tag := TAG.search(html, at)) is not None:
        at = tag.end()
        name = (tag[1] or "").lower()
        root = name in ("html", "body")
        # An attribute takes two characters at least.
        if root or at - tag.start() > 2 * MOST_ATTRIBUTES:
            count = sum(1 for _ in ATTRIBUTE.finditer(tag[2] or ""))
            of_roots += count if root else 0
            if max(count, of_roots) > MOST_ATTRIBUTES:
                message = f"a tag at character {tag.start()} has more than {MOST_ATTRIBUTES} attributes"
                raise RecordError("hostile_html", message)
        if name in RAW_TEXT:
            end = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(html, at)
            at = end.start() if end is not None else len(html)
