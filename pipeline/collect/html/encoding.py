"""Bytes of unknown encoding to text.

Purpose: one way from bytes to text for files, web archives and installed pages.
Source: resiliparse detects encodings. The order of evidence for the encoding, and the bytes that indicate binary data, follow
the WHATWG Encoding and MIME Sniffing standards.
"""

from __future__ import annotations

import codecs
import re

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

SNIFFED_BYTES = 1_445
"""Bytes of a resource that the MIME Sniffing standard looks at."""
BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
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
