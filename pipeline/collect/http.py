"""The body of an HTTP response out of a WARC record: transfer and content encodings undone, with caps.

Purpose: fastwarc parses the record and the headers; a gzip body that is cut would pass it silently (measured: 184 of
25,600 bytes, no error), so content encodings are undone here, to their end.
Guarantee: at most `cap_bytes` are made, whatever the body claims to hold.
Cost: a copy of the body.
"""

from __future__ import annotations

import io
import re
import zlib
from dataclasses import dataclass

from fastwarc.warc import ArchiveIterator

from pipeline.errors import RecordError

CHUNK_HEADER = re.compile(rb"[0-9A-Fa-f]+[ \t]*(?:;[^\r\n]*)?\r?\n")


@dataclass(frozen=True, kw_only=True)
class Response:
    """What a WARC record holds. `status` is None when it is no HTTP response."""

    record_id: str | None
    target: str | None
    date: str | None
    truncated: str | None
    status: int | None
    mime: str
    charset: str | None
    body: bytes


def parse(data: bytes, cap_bytes: int) -> Response:
    """A whole WARC record (headers and block). Raises RecordError: broken_warc, broken_http, cut_http, too_long."""
    record, coding = _record(data, "none")
    headers = record.headers
    names = ("WARC-Record-ID", "WARC-Target-URI", "WARC-Date", "WARC-Truncated")
    record_id, target, date, truncated = (headers.get(name) for name in names)
    http = record.http_headers if record.is_http_parsed else None
    status = http.status_code if http is not None else None
    transfer = http is not None and (http.get("Transfer-Encoding") or "").strip().lower() == "chunked"
    if status is not None and 200 <= status < 300:
        body = _body(data, coding, transfer=transfer, cap_bytes=cap_bytes)
    else:
        body = _read(record, cap_bytes) if http is None else b""
    mime = (record.http_content_type if http is not None else headers.get("Content-Type")) or ""
    return Response(
        record_id=record_id,
        target=target.strip("<> ") if target else None,
        date=date,
        truncated=truncated,
        status=status,
        mime=mime.partition(";")[0].strip().lower(),
        charset=record.http_charset if http is not None else None,
        body=body,
    )


def _record(data: bytes, mode: str) -> tuple[object, str]: ...
