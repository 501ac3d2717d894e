"""Files that are one document each: plain text, Markdown, reStructuredText, HTML, Python modules, package descriptions.

Each line of a plain text file can be a document instead, or what stands between separators.

Guarantee: a file over the cap is read no further than the cap. The encoding of HTML is the one that the file
declares or that its bytes suggest, that of plain text the one that its bytes suggest. Lines are UTF-8 or quarantined.
Cost: memory of one document.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import docstrings, lines
from tokenmill.pipeline.collect.charset.decode import decode, is_binary
from tokenmill.pipeline.collect.charset.decoders import REPLACEMENT
from tokenmill.pipeline.collect.charset.document import document as decoded_document
from tokenmill.pipeline.collect.faults import StreamError
from tokenmill.pipeline.collect.framing import Codec, chunks
from tokenmill.pipeline.collect.html import page
from tokenmill.pipeline.collect.records import Limits, Place, Record, document, quarantined, too_long


def read(handle: BinaryIO, codec: Codec, kind: str, path: str, limits: Limits) -> Iterator[Record]:
    """The one record of a file. kind: text, html, python or description."""
    place = Place(path=path)
    data = b""
    try:
        data = _whole(handle, codec, limits.document_bytes if kind == "text" else limits.record_bytes, limits.zstd_window)
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

    parts, first = lines.parts_of(handle, codec, begin, end, before, limits.zstd_window)
    if limits.announce is None and not limits.condemned:
        return lines.runs_of(parts, path, first, limits.document_bytes, make)
    return lines.records_of(lines.lines(parts, limits.document_bytes, first), path, first, limits.document_bytes, make)


def read_separated(handle: BinaryIO, codec: Codec, path: str, separator: str, limits: Limits) -> Iterator[Record]:
    """The documents of a plain text file that `separator` stands between. White space around a document is not part of it."""

    def make(data: bytes, place: Place) -> Record:
        limits.begin(place)
        return document(utf8(data).strip(), place, limits)

    parts = chunks(handle, codec, limits.zstd_window)
    found = lines.separated(parts, separator.encode(), limits.document_bytes)
    return lines.records_of(found, path, 0, limits.document_bytes, make)


def utf8(data: bytes) -> str:
    """Text from UTF-8 with or without a byte order mark. Raises RecordError (not_utf8) that names the byte."""
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise RecordError("not_utf8", f"byte {error.start} is not UTF-8 ({error.reason})") from error


def _whole(handle: BinaryIO, codec: Codec, cap_bytes: int, zstd_window: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in chunks(handle, codec, zstd_window):
        parts.append(part)
        size += len(part)
        if size > cap_bytes + len(codecs.BOM_UTF8):
            raise too_long(size, cap_bytes)
    return b"".join(parts)


def _document(data: bytes, kind: str, place: Place, limits: Limits) -> Record:
    if kind == "text":
        return _plain(data, place, limits)
    if kind == "html":
        if is_binary(data):
            raise RecordError("not_html", "the file's first bytes are binary data, not markup")
        found = decode(data, markup=True)
        known = page.read(found.text, limits.extraction)
        lost = known.main.lost(limits.extraction.extract_recall)
        about = {"mime": "text/html", **known.about}
        return decoded_document(known.main.text, found, place, limits, about=about, lost=lost, scores=known.scores)
    if kind == "description":
        return document(docstrings.description(utf8(data)), place, limits)
    return document(docstrings.of_module(data), place, limits)


def _plain(data: bytes, place: Place, limits: Limits) -> Record:
    """Plain text declares nothing. If it is not UTF-8 and does not say enough of its encoding, it is quarantined."""
    found = decode(data)
    if found.evidence == "default" or (found.evidence == "detection" and is_binary(data)):
        # Raises the error that names the byte.
        return document(utf8(data), place, limits)
    if found.encoding == "utf-8" and REPLACEMENT not in found.text:
        return document(found.text, place, limits)
    return decoded_document(found.text, found, place, limits)
