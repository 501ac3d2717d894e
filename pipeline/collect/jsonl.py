"""JSON Lines: one object per line, with the text in a named field.

Guarantee: one broken line is one quarantined record; its neighbours are untouched. NaN and Infinity are not JSON. A record
whose text is null is dropped as empty.
Cost: memory of one line; about 200 MB/s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import lines
from tokenmill.pipeline.collect.framing import Codec
from tokenmill.pipeline.collect.records import Limits, Place, Record, dropped, of_row
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
        if isinstance(row, dict) and source.text_field in row and row[source.text_field] is None:
            return dropped(place, "empty", "the text is null")
        text = text_of(row, source.text_field)
        return of_row(text, row, place, source, limits)

    return lines.records(handle, codec, path, begin, end, before, limits.record_bytes, make)


MOST_COMPARED = 1_000
"""Names that are compared with one that is missing, which takes 10 us each."""


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


def text_of(row: Any, field: str) -> str:
    """The text in a record. Raises RecordError (no_text) that names the field and the fields that exist."""
    if not isinstance(row, dict):
        raise RecordError("no_text", f"the record is a {type(row).__name__}, not an object with a field {field!r}")
    text = row.get(field)
    if isinstance(text, str):
        return text
    if field not in row:
        raise no_such("field", field, list(row), reason="no_text")
    raise RecordError("no_text", f"the field {field!r} holds a {type(text).__name__}, not text")


def no_such(kind: str, name: str, present: list[str], *, reason: str) -> RecordError:
    """The error of a record or a table without the column with the text: it says the most similar name, and those that exist.

    `kind`: "field" or "column", as the format calls it.
    """
    near = spelling.nearest(name, present[:MOST_COMPARED])
    shown = sorted(present)[:12]
    hint = f"did you mean {near!r}? There are: " if near else "there are: "
    said = f"{hint}{', '.join(shown)}" if shown else "there are none"
    return RecordError(reason, f"no {kind} {name!r}; {said}", instead=near or (shown[0] if shown else ""))
