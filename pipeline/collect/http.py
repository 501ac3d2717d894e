"""HTTP responses as crawlers keep them: the status, the header, and the body with its codings undone.

Source: RFC 9112. Where crawlers and servers do otherwise, this does what browsers do; the tests have a table of it.
Guarantee: at most `cap_bytes` of body are produced, whatever it claims to hold. A body that ends within a chunk is an error.
Cost: a copy of the body for each coding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import codings, headers

STATUS = re.compile(rb"\s*HTTP/\d(?:\.\d)?[ \t]+(\d{3})(?!\d)[ \t]*([^\r\n]*)", re.IGNORECASE)
NEXT = re.compile(rb"\s*HTTP/\d", re.IGNORECASE)
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r?\n")
CUT_CHUNK = re.compile(rb"\r?\n?[0-9A-Fa-f]*[ \t]*(?:;[^\r\n]*)?\r?")
END_OF_CHUNK = re.compile(rb"\r?(?:\n|\Z)")
SWITCHING_PROTOCOLS = 101
"""The one status below 200 that no other response follows."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """A response. `mime` is "" if the header states no type. `body` is empty unless the status is a success."""

    status: int
    mime: str
    charset: str | None
    body: bytes

    @property
    def succeeded(self) -> bool:
        return 200 <= self.status < 300


def parse(block: bytes, cap_bytes: int) -> Response | None:
    """The last response of a block, after those that only precede it; None if the block is no response.

    Raises RecordError: broken_http, cut_http, too_long.
    """
    at = 0
    while (line := STATUS.match(block, at)) is not None:
        end = headers.END.search(block, line.end())
        begin = end.end() if end is not None else len(block)
        if not _is_interim(int(line[1]), line[2]) or not NEXT.match(block, begin):
            return _response(int(line[1]), headers.fields(block[line.start() : begin]), block[begin:], cap_bytes)
        at = begin
    return None


def _is_interim(status: int, reason: bytes) -> bool:
    """Whether another response follows: 100 Continue, 103 Early Hints, or the answer of a proxy that opened a tunnel."""
    return (100 <= status < 200 and status != SWITCHING_PROTOCOLS) or reason.lower().startswith(b"connection established")


def _response(status: int, found: headers.Fields, body: bytes, cap_bytes: int) -> Response:
    mime, charset = headers.mime_type(found)
    if not 200 <= status < 300:
        return Response(status=status, mime=mime, charset=charset, body=b"")
    transfer = headers.listed(found, "transfer-encoding")
    if "chunked" in transfer:
        body = unchunked(body)
    names = (*headers.listed(found, "content-encoding"), *transfer)
    return Response(status=status, mime=mime, charset=charset, body=codings.decoded(body, names, charset, cap_bytes))


def unchunked(body: bytes) -> bytes:
    """The body without the frames of its chunks. A body that does not begin with a chunk is taken as it is.

    The last chunk may be missing, as in crawls that stop reading when the connection closes: all that was sent is there.
    Raises RecordError: cut_http, broken_http.
    """
    parts: list[bytes] = []
    at = 0
    while (head := CHUNK.match(body, at)) is not None:
        size = int(head[1], 16)
        if not size:
            return b"".join(parts)
        at = head.end() + size
        if at > len(body):
            raise RecordError("cut_http", f"the body is cut within a chunk, after {len(body)} bytes")
        parts.append(body[head.end() : at])
        end = END_OF_CHUNK.match(body, at)
        if end is None:
            raise RecordError("broken_http", f"the chunk before byte {at} of the body is longer than it says")
        at = end.end()
    if not at or at == len(body):
        return b"".join(parts) if at else body
    if CUT_CHUNK.fullmatch(body, at):
        raise RecordError("cut_http", f"the body is cut at the begin of a chunk, after {len(body)} bytes")
    raise RecordError("broken_http", f"no chunk begins at byte {at} of the body")
