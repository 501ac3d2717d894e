"""Files that are one document each: plain text, Markdown, reStructuredText, HTML, Python modules, package descriptions.

Each line of a plain text file can be a document instead.

Guarantee: a file over the cap is read no further than the cap. Plain text that is not UTF-8 is quarantined. The encoding of
HTML is the one that the file declares or that its bytes suggest.
Cost: memory of one document.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import docstrings, lines
from tokenmill.pipeline.collect.framing import Codec, StreamError, chunks
from tokenmill.pipeline.collect.html.encoding import decode, is_binary
from tokenmill.pipeline.collect.html.main import main_text
from tokenmill.pipeline.collect.records import Limits, Place, Record, document, quarantined, too_long


def read(handle: BinaryIO, codec: Codec, kind: str, path: str, limits: Limits) -> Iterator[Record]:
    """The one record of a file. kind: text, html, python or description."""
    place = Place(path=path)
    data = b""
    try:
        data = _whole(handle, codec, limits.document_bytes if kind == "text" else limits.record_bytes)
        limits.begin(place)
        yield _document(data, kind, place, limits)
    except StreamError as error:
        # The file is one document, so the number of records is exact.
        yield quarantined(place, error, unread_bytes=error.unread_bytes)
    except RecordError as error:
        yield quarantined(place, error, data)


def read_lines(
    handle: BinaryIO, codec: Codec, path: str, begin: int, end: int, before: int, limits: Limits
) -> Iterator[Record]:
    """The lines of a plain text file, each a document; see `lines.records`."""

    def make(line: bytes, place: Place) -> Record:
        limits.begin(place)
        return document(utf8(line), place, limits)

    return lines.records(handle, codec, path, begin, end, before, limits.document_bytes, make)


def utf8(data: bytes) -> str:
    """Text from UTF-8 with or without a byte order mark. Raises RecordError (not_utf8) that names the byte."""
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise RecordError("not_utf8", f"byte {error.start} is not UTF-8 ({error.reason})") from error


def _whole(handle: BinaryIO, codec: Codec, cap_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in chunks(handle, codec):
        parts.append(part)
        size += len(part)
        if size > cap_bytes + len(codecs.BOM_UTF8):
            raise too_long(size, cap_bytes)
    return b"".join(parts)


def _document(data: bytes, kind: str, place: Place, limits: Limits) -> Record:
    if kind == "text":
        return document(utf8(data), place, limits)
    if kind == "html":
        if is_binary(data):
            raise RecordError("not_html", "the file's first bytes are binary data, not markup")
        text, encoding = decode(data, meta=True)
        return document(main_text(text, limits.extract), place, limits, about={"mime": "text/html", "encoding": encoding})
    if kind == "description":
        return document(docstrings.description(utf8(data)), place, limits)
    return document(docstrings.of_module(data), place, limits)
