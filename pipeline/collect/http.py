"""Parses a WARC record: its headers, and the body of an HTTP response with its encodings undone.

Purpose: fastwarc parses the record, its headers and chunked bodies. It passes a truncated gzip body without an error
(measured: 184 of 25,600 bytes), so this module undoes gzip and deflate, to their end.
Guarantee: at most `cap_bytes` of body are produced, whatever the body claims to hold.
Cost: a copy of the body.
"""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from fastwarc.warc import ArchiveIterator, WarcRecordType

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.records import too_long

CHUNK_HEADER = re.compile(rb"[0-9A-Fa-f]+[ \t]*(?:;[^\r\n]*)?\r?\n")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """The content of a WARC record. `status` is None if it is not an HTTP response; `mime` is "" if the record names none."""

    conversion: bool
    record_id: str | None
    target: str | None
    date: str | None
    truncated: str | None
    status: int | None
    mime: str
    charset: str | None
    body: bytes


def parse(data: bytes, cap_bytes: int) -> Resource:
    """Parse a whole WARC record (headers and block). The body of an HTTP response is read only if its status is a success.

    Raises RecordError: broken_warc, broken_http, cut_http, too_long.
    """
    record = _record(data, "none")
    http = record.http_headers if record.is_http_parsed else None
    status = http.status_code if http is not None else None
    body = b""
    if http is None:
        body = _read(record, cap_bytes)
    elif status is not None and 200 <= status < 300:
        coding = (http.get("Content-Encoding") or "").strip().lower()
        body = _decoded(_unchunked(data, record, coding, cap_bytes), coding, cap_bytes)
    headers = record.headers
    target = headers.get("WARC-Target-URI")
    mime = (record.http_content_type if http is not None else headers.get("Content-Type")) or ""
    return Resource(
        conversion=record.record_type == WarcRecordType.conversion,
        record_id=headers.get("WARC-Record-ID"),
        target=target.strip("<> ") if target else None,
        date=headers.get("WARC-Date"),
        truncated=headers.get("WARC-Truncated"),
        status=status,
        mime=mime.partition(";")[0].strip().lower(),
        charset=record.http_charset if http is not None else None,
        body=body,
    )


def _record(data: bytes, decoding: Literal["none", "transfer", "all"]) -> Any:
    try:
        stream = ArchiveIterator(io.BytesIO(data), parse_http=True, auto_decode=decoding, stream_detect=False, quirks_mode=True)
        return next(iter(stream))
    except (OSError, ValueError, StopIteration) as error:
        raise RecordError("broken_warc", f"the record cannot be parsed ({error})") from error


def _read(record: Any, cap_bytes: int) -> bytes:
    """The payload. Raises OSError if an encoding that fastwarc undoes is broken."""
    parts: list[bytes] = []
    size = 0
    while part := record.reader.read(65_536):
        parts.append(part)
        size += len(part)
        if size > cap_bytes:
            raise too_long(size, cap_bytes)
    return b"".join(parts)


def _unchunked(data: bytes, record: Any, coding: str, cap_bytes: int) -> bytes:
    """The payload without its transfer encoding. Brotli and zstd, which fastwarc supports, are undone too.

    Crawlers have written unchunked bodies under a header that says chunked. Such bodies are used as they are.
    """
    ours = coding in ("", "identity", "gzip", "x-gzip", "deflate")
    try:
        return _read(_record(data, "transfer" if ours else "all"), cap_bytes)
    except OSError as error:
        body = _read(record, cap_bytes)
        if ours and not CHUNK_HEADER.match(body):
            return body
        raise RecordError("broken_http", f"the body's transfer or content encoding is broken ({error})") from error


def _decoded(body: bytes, coding: str, cap_bytes: int) -> bytes:
    """The body without gzip or deflate. A body that claims gzip but does not begin like gzip is used as it is."""
    if coding in ("gzip", "x-gzip"):
        return _inflated(body, 31, cap_bytes) if body.startswith(b"\x1f\x8b") else body
    if coding == "deflate" and body:
        zlib_header = body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _inflated(body, 15 if zlib_header else -15, cap_bytes)
    return body


def _inflated(body: bytes, wbits: int, cap_bytes: int) -> bytes:
    stream = zlib.decompressobj(wbits=wbits)
    try:
        data = stream.decompress(body, cap_bytes + 1)
    except zlib.error as error:
        raise RecordError("broken_http", f"the body's content encoding is broken ({error})") from error
    if len(data) > cap_bytes:
        raise too_long(len(data), cap_bytes)
    if not stream.eof:
        raise RecordError("cut_http", f"the compressed body is cut after {len(body)} bytes")
    return data
