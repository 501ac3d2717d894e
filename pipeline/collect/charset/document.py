"""The record of a text that was decoded: a document with what is known of its encoding, or dropped if decoding spoiled it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenmill.pipeline.collect import records
from tokenmill.pipeline.collect.charset.decode import Decoded, faults
from tokenmill.pipeline.collect.records import Limits, Place, Record


def document(
    text: str,
    found: Decoded,
    place: Place,
    limits: Limits,
    *,
    identity: str | None = None,
    url: str | None = None,
    about: Mapping[str, Any] | None = None,
    lost: tuple[str, str] | None = None,
    scores: bytes = b"",
) -> Record:
    """The record at `place` with the text `text`, which is `found.text` or a part of it. See `records.document`.

    lost: why the text is of no use even if decoding did not spoil it, a reason and a message. scores: see `records.Document`.
    """
    spoiled = faults(text)
    if reason := spoiled.reason:
        note = f" (declared {found.declared}, decoded as {found.encoding}" + (
            f", looks like {found.detected})" if found.detected else ")"
        )
        data = text.encode(errors="replace")
        return records.dropped(place, reason[0], reason[1] + note, data, len(data))
    if lost is not None:
        data = text.encode(errors="replace")
        return records.dropped(place, *lost, data, len(data))
    known = {**(about or {}), **found.about, **spoiled.about}
    return records.document(text, place, limits, identity=identity, url=url, about=known, scores=scores)
