"""Undoes the content codings of an HTTP body: gzip, deflate, br and zstd.

Source: RFC 9110, section 8.4, RFC 7932 (Brotli) and RFC 8878 (zstd), and what browsers do with what servers send.
Guarantee: a body is undone to its end, or refused. At most `cap_bytes` are produced at each coding, whatever the body claims to
hold. A name that is no coding (identity, none, utf-8, 8bit, aws-chunked) changes nothing. A body that is plain text although
its header names a coding is taken as it is: crawlers and proxies undo codings and leave the header.
Cost: a copy of the body for each coding.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import brotli
import zstandard

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.charset.decode import is_binary
from tokenmill.pipeline.collect.records import too_long

MOST_CODINGS = 4
"""Servers apply one, seldom two."""
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
FIRST_BYTES, STEP_BYTES = 256, 1 << 16
"""Input is given in parts that grow, so that what a member leaves over is at most about as long as the member itself."""
ZSTD_STEP_BYTES = 2_048
"""zstandard does not bound what a call gives: this much input at most 64 MiB."""


def decoded(body: bytes, codings: Sequence[str], charset: str | None, cap_bytes: int) -> bytes:
    """The body without the codings, which are named in lower case in the order in which they were applied.

    `charset`: what the header states, by which text in UTF-16 is told from binary data.
    Raises RecordError: cut_http, broken_http, too_long.
    """
    known = [DECODERS[name] for name in codings if name in DECODERS]
    if len(known) > MOST_CODINGS:
        raise RecordError("broken_http", f"the header names {len(known)} content codings, at most {MOST_CODINGS} are undone")
    for decode in reversed(known):
        body = _undone(decode, body, charset, cap_bytes)
    return body


def _undone(decode: Callable[[bytes, int], bytes], body: bytes, charset: str | None, cap_bytes: int) -> bytes:
    if not body:
        return body
    try:
        return decode(body, cap_bytes)
    except RecordError as error:
        # Compressed bytes look like text by chance in no body of more than some dozen bytes.
        if error.reason == "too_long" or is_binary(body, charset):
            raise
        return body


def _gzip(body: bytes, cap_bytes: int) -> bytes:
    """All members end to end. As in browsers, what follows them is ignored, and a body that begins otherwise is no gzip."""
    return _members(body, GZIP, lambda: zlib.decompressobj(wbits=31), cap_bytes) if body.startswith(GZIP) else body


def _deflate(body: bytes, cap_bytes: int) -> bytes:
    """zlib's format, or deflate without its header, which servers send under the same name."""
    if body.startswith(GZIP):
        return _gzip(body, cap_bytes)
    zlib_header = len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    if zlib_header:
        return _members(body, b"", lambda: zlib.decompressobj(wbits=15), cap_bytes)
    return _members(body, b"", lambda: zlib.decompressobj(wbits=-15), cap_bytes)


def _members(body: bytes, magic: bytes, begin: Callable[[], zlib._Decompress], cap_bytes: int) -> bytes:
    """The content of what zlib reads. With a `magic`, members that begin so follow each other."""
    parts: list[bytes] = []
    size = at = 0
    while at == 0 or (magic and body.startswith(magic, at)):
        stream, step = begin(), FIRST_BYTES
        while not stream.eof:
            data = stream.unconsumed_tail or body[at : at + step]
            if not data:
                raise _cut(body)
            if not stream.unconsumed_tail:
                at, step = at + len(data), min(2 * step, STEP_BYTES)
            try:
                parts.append(stream.decompress(data, cap_bytes + 1 - size))
            except zlib.error as error:
                raise _broken(error) from error
            size += len(parts[-1])
            if size > cap_bytes:
                raise too_long(size, cap_bytes)
        at -= len(stream.unused_data)
    return b"".join(parts)


def _zstd(body: bytes, cap_bytes: int) -> bytes:
    """All frames end to end. A body that begins otherwise is no zstd."""
    parts: list[bytes] = []
    size = at = 0
    while body.startswith(ZSTD, at):
        stream = zstandard.ZstdDecompressor().decompressobj()
        while not stream.eof:
            data = body[at : at + ZSTD_STEP_BYTES]
            at += len(data)
            if not data:
                raise _cut(body)
            try:
                parts.append(stream.decompress(data))
            except zstandard.ZstdError as error:
                raise _broken(error) from error
            size += len(parts[-1])
            if size > cap_bytes:
                raise too_long(size, cap_bytes)
        at -= len(stream.unused_data)
    return b"".join(parts) if at else body


def _brotli(body: bytes, cap_bytes: int) -> bytes:
    stream = brotli.Decompressor()
    parts: list[bytes] = []
    size = 0
    for at in range(0, len(body), STEP_BYTES):
        data = body[at : at + STEP_BYTES]
        # Content may be held back although all input was accepted.
        while data or not stream.can_accept_more_data() or (parts and parts[-1] and not stream.is_finished()):
            try:
                parts.append(stream.process(data, output_buffer_limit=STEP_BYTES))
            except brotli.error as error:
                raise _broken(error) from error
            data = b""
            size += len(parts[-1])
            if size > cap_bytes:
                raise too_long(size, cap_bytes)
    if not stream.is_finished():
        raise _cut(body)
    return b"".join(parts)


DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def _cut(body: bytes) -> RecordError:
    return RecordError("cut_http", f"the compressed body is cut after {len(body)} bytes")


def _broken(error: Exception) -> RecordError:
    return RecordError("broken_http", f"the body's content coding is broken ({error})")
