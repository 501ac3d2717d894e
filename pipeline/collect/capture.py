"""What a crawler kept of one address becomes a document: for web archives of all formats.

Purpose: responses with HTML or plain text become documents, and so do resources and conversions, which have no HTTP header.
Guarantee: what is left out has a reason. What a conversion calls plain text is text, also with control characters: it was made
by a program that extracts text. Cost: that of the main text, see `html/page`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import headers, http
from tokenmill.pipeline.collect.charset.decode import decode, is_binary
from tokenmill.pipeline.collect.charset.document import document
from tokenmill.pipeline.collect.html import page
from tokenmill.pipeline.collect.records import Limits, Place, Record, dropped, quarantined

NOTES = "metadata:"
"""The scheme of addresses under which crawlers keep notes of their own, such as wget its log."""


@dataclass(frozen=True, kw_only=True)
class Capture:
    """One capture. `fields`: the header of its record. `block`: an HTTP response, or content of the type in `fields`."""

    is_http: bool
    is_conversion: bool
    fields: headers.Fields
    record_id: str | None
    target: str | None
    date: str | None
    truncated: str | None
    block: bytes


def record(found: Capture, place: Place, limits: Limits) -> Record:
    """The document of a capture, or why it is none."""
    try:
        limits.begin(place)
        return _record(found, place, limits)
    except RecordError as error:
        return quarantined(place, error, found.block)


def _record(found: Capture, place: Place, limits: Limits) -> Record:
    """Raises RecordError: broken_http, cut_http, too_long, bomb, hostile_html."""
    mime, charset = headers.mime_type(found.fields)
    body = found.block
    limits.growth.read(len(body))
    if found.is_http:
        response = http.parse(body, limits.record_bytes)
        if response is None:
            return dropped(place, "content_type", "no HTTP response", body)
        if not response.succeeded:
            return dropped(place, "http_status", f"status {response.status}", response.body)
        mime, charset, body = response.mime, response.charset, response.body
    limits.growth.produced(len(body))
    mime = mime or headers.sniffed(body)
    if (found.target or "").lower().startswith(NOTES):
        return dropped(place, "content_type", "notes of the crawler", body)
    if mime not in headers.HTML and mime != "text/plain":
        return dropped(place, "content_type", f"type {mime or 'unknown'!r}", body)
    if not (found.is_conversion and mime == "text/plain") and is_binary(body, charset):
        return dropped(place, "content_type", f"type {mime!r}, but the bytes are binary", body)
    read = decode(body, charset, markup=mime in headers.HTML)
    text, lost, scores = read.text, None, b""
    about: dict[str, Any] = {"mime": mime, "date": found.date, "truncated": found.truncated}
    if mime in headers.HTML:
        known = page.read(read.text, limits.extraction, found.target)
        text, lost = known.main.text, known.main.lost(limits.extraction.extract_recall)
        about |= known.about
        scores = known.scores
    identity, url = found.record_id, found.target
    return document(text, read, place, limits, identity=identity, url=url, about=about, lost=lost, scores=scores)
