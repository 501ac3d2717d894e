"""JSON Lines: one object per line, with the text in a named field.

Guarantee: one broken line is one quarantined record; its neighbours are untouched. A file that is one value over many lines
is one quarantined record, not one a line. NaN and Infinity are not JSON. A record
whose text is null is dropped as empty.
Cost: memory of one line; about 200 MB/s.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from tokenmill.pipeline.base import textfield
from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.textfield import TextField
from tokenmill.pipeline.collect import lines
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.records import RECORD_BYTES, Limits, Place, Record, Rejected, dropped, of_row, quarantined
from tokenmill.pipeline.collect.text import utf8

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import FilesSource


def read(
    handle: BinaryIO, codec: Codec, path: str, begin: int, end: int, before: int, source: FilesSource, limits: Limits
) -> Iterator[Record]:
    """The records of a file; see `lines.records`."""

    def make(line: bytes, place: Place) -> Record:
        limits.begin(place)
        row = _parsed(utf8(line))
        text = text_of(row, field)
        if text is None:
            return dropped(place, "empty", "the text is null")
        return of_row(text, field.without(row), place, source, limits)

    field = textfield.parse(source.text_field)
    found = lines.records(handle, codec, path, begin, end, before, limits.record_bytes, make, limits.zstd_window)
    first = next(found, None)
    if isinstance(first, Rejected) and not begin and first.preview.removeprefix(codecs.BOM_UTF8).strip() in OPEN:
        size = handle.seek(0, os.SEEK_END)
        error = RecordError("broken_json", "the file is one JSON value over many lines; write a record a line (`jq -c '.[]'`)")
        yield quarantined(Place(path=path), error, first.preview, unread_bytes=size, estimate=max(1, size // RECORD_BYTES))
        return
    if first is not None:
        yield first
    yield from found


OPEN = (b"[", b"{", b"[{")
"""First lines of files that hold one value over many lines."""


def _parsed(text: str) -> Any:
    try:
        return DECODE(text)
    except (ValueError, RecursionError) as error:
        where = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RecordError("broken_json", f"the line is not JSON ({type(error).__name__}{where})") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


DECODE = json.JSONDecoder(parse_constant=_refuse).decode
"""Made once, because that takes as long as reading a short record."""


def text_of(row: Any, field: TextField) -> str | None:
    """The text in a record; None if it is null. Raises RecordError (no_text) that names the field and the fields that exist."""
    if isinstance(row, dict):
        return field.text(row)
    # An array is what other tools write into files of this name.
    advice = "; write a record a line (`jq -c '.[]'`)" if isinstance(row, list) else ""
    message = f"the record is a {type(row).__name__}, not an object with a field {field.columns[0]!r}{advice}"
    raise RecordError("no_text", message)
