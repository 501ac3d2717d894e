"""What tests of web archives share: records of WARC files, and pages long enough to have a main text."""

from __future__ import annotations


def page(name: str) -> bytes:
    """A page of HTML whose text says its name."""
    text = f"The page of {name} says enough to be its own text."
    return f"<!doctype html><html><body><main><p>{text}</p></main></body></html>".encode()


def response(status: str = "200 OK", *fields: str, body: bytes = b"", mime: str = "text/html; charset=utf-8") -> bytes:
    """An HTTP response. `mime` "": without a type."""
    lines = [f"HTTP/1.1 {status}", *([f"Content-Type: {mime}"] if mime else []), *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def warc(
    block: bytes,
    *,
    number: str,
    kind: str = "response",
    mime: str = "application/http; msgtype=response",
    target: str | None = None,
    length: int | None = None,
) -> bytes:
    """One WARC record. `length`: what it states, if that is not true."""
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{number}>",
        f"WARC-Target-URI: {target or f'http://a.org/{number}'}",
        "WARC-Date: 2024-01-01T00:00:00Z",
        *([f"Content-Type: {mime}"] if mime else []),
        f"Content-Length: {len(block) if length is None else length}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"
