"""Readers of datatrove's own, which read files for a source with `kind = "datatrove"`.

Purpose: who has files that a reader of datatrove's reads, with its arguments, gets the same documents in a corpus.
Guarantee: a reader runs in a parser like all that decodes foreign bytes: confined, with one descriptor in place of its folder.
It is made by name, of those that `config.datatrove` lists, with plain arguments. datatrove logs a broken line and goes on, and
leaves out a record without text; here an adapter sees each record, so that each becomes a document, is dropped, or is
quarantined. Lines, codecs and their faults are those of `lines` and `framing`. Where a reader stops within a table or a CSV
file, what is left of the file is quarantined; `kind = "files"` loses less of such a file.
Cost: that of the reader, and 20 us a record. Importing datatrove takes 0.5 s in each worker.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import os
import zoneinfo
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from typing import TYPE_CHECKING, Any

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.textfield import no_such
from tokenmill.pipeline.collect import lines
from tokenmill.pipeline.collect.faults import StreamError, broken_off
from tokenmill.pipeline.collect.framing import Codec, chunks
from tokenmill.pipeline.collect.metadata import fields, name_of
from tokenmill.pipeline.collect.records import (
    RECORD_BYTES,
    Document,
    Limits,
    Place,
    Record,
    Rejected,
    document,
    dropped,
    quarantined,
    too_long,
)
from tokenmill.pipeline.collect.tables import FAULTS
from tokenmill.pipeline.collect.text import utf8

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import DatatroveSource

READERS = ("JsonlReader", "CSVReader", "ParquetReader", "IpcReader")
ROW_BYTES = 16
"""What a row of a table counts beside its text, where growth is watched."""
MISSING = object()
STOPS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, OSError, EOFError, RecursionError)
"""What readers raise on records that are not as they expect, beside the errors of `csv` and of Arrow."""


@functools.cache
def prepare() -> tuple[Any, Any]:
    """Import what the readers need, before this process is confined: a folder that they are made with, and all time zones.

    A time in a table that has a zone is converted by the zone's file, which a parser cannot open.
    """
    import orjson  # noqa: F401 -- the reader of lines imports it when it reads
    from datatrove.io import DataFolder
    from datatrove.pipeline import readers
    from loguru import logger

    # What it would say of each broken line is in the quarantine, and takes longer than reading the line.
    logger.disable("datatrove")
    folder = DataFolder(os.sep)
    for name in READERS:
        # The first of each class looks for the files of its libraries.
        getattr(readers, name)(folder)
    return folder, [zoneinfo.ZoneInfo(name) for name in sorted(zoneinfo.available_timezones())]


def read(handle: BufferedReader, codec: Codec, path: str, source: DatatroveSource, limits: Limits) -> Iterator[Record]:
    """The records of a file, numbered from 0 in its order."""
    course = _FileByReader(path=path, source=source, limits=limits)
    if source.reader == "JsonlReader":
        size = handle.seek(0, os.SEEK_END)
        return lines.records(handle, codec, path, 0, size, 0, limits.record_bytes, course.line, limits.zstd_window)
    if source.reader == "CSVReader":
        csv.field_size_limit(limits.record_bytes)
        return course.file(_text_lines(handle, codec, limits), handle, None)
    return course.file(handle, handle, _rows(handle) if source.reader == "ParquetReader" else None)


@dataclass(kw_only=True)
class _Given:
    """Stands for the folder of a reader: whatever it opens, it gets `content`, an open file or an iterator of lines."""

    content: Any = None

    def open(self, *_: object, **__: object) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext(self.content)


@dataclass(kw_only=True)
class _FileByReader:
    """The reading of a file by a reader of datatrove's."""

    path: str
    source: DatatroveSource
    limits: Limits
    number: int = 0
    """Of the next record."""
    waiting: deque[tuple[Place, Rejected | None]] = field(default_factory=deque)
    """Records that the reader was given and has not yielded: those with a fault, which it leaves out, and others."""
    given: _Given = field(default_factory=_Given)

    @functools.cached_property
    def reader(self) -> Any:
        from datatrove.pipeline import readers

        def adapt(made: Any, data: dict[str, Any], path: str, _: object) -> dict[str, Any]:
            place = Place(path=path, record=self.number)
            self.number += 1
            fault = _fault(data, made.text_key, place)
            self.waiting.append((place, fault))
            # A reader leaves out what has no text.
            return {"text": ""} if fault is not None else made._default_adapter(data, path, place.record)

        arguments = {name: value for name, value in self.source.arguments.items() if name != "compression"}
        made = getattr(readers, self.source.reader)(prepare()[0], adapter=adapt, **arguments)
        made.data_folder, made.add_file_path = self.given, False
        return made

    def line(self, data: bytes, place: Place) -> Record:
        """The record of one line. Raises RecordError."""
        self.limits.begin(place)
        self.number = int(place.record or 0)
        self.waiting.clear()
        self.given.content = iter((utf8(data),))
        found = list(self._records())
        if len(found) != 1:
            raise RecordError("broken_json", "the line is no JSON for the reader")
        return found[0]

    def file(self, content: Any, handle: BufferedReader, rows: int | None) -> Iterator[Record]:
        """All records of a file that the reader reads as a whole. `rows`: how many there are, if that is known."""
        size = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        self.given.content = content
        fault: RecordError | None = None
        given = 0
        try:
            self.limits.begin(Place(path=self.path))
            self.limits.growth.read(size)
            for found in self._records():
                if isinstance(found, Document):
                    self.limits.growth.produced(ROW_BYTES + len(found.text))
                yield found
                given += 1
        except RecordError as error:
            fault = error
        lost = Place(path=self.path, record=given)
        if rows is not None and given < rows:
            fault = fault or RecordError("not_read", f"the reader gave {given} of {rows} rows")
            yield quarantined(lost, fault, rows=rows - given, unread_bytes=size * (rows - given) // rows)
        elif isinstance(fault, StreamError):
            yield broken_off(lost, fault, given)
        elif fault is not None:
            left = max(0, size - handle.tell()) if self.source.reader == "CSVReader" else size
            yield quarantined(lost, fault, unread_bytes=left, estimate=max(1, len(self.waiting), left // RECORD_BYTES))

    def _records(self) -> Iterator[Record]:
        """What the reader yields, and what it leaves out, in the order of the file. Raises RecordError where it stops."""
        documents = self.reader.read_file(self.path)
        while (found := self._next(documents)) is not None:
            place, fault = self.waiting.popleft()
            while fault is not None:
                yield fault
                place, fault = self.waiting.popleft()
            yield _record(found, place, self.limits)
        while self.waiting and (fault := self.waiting[0][1]) is not None:
            self.waiting.popleft()
            yield fault

    def _next(self, documents: Iterator[Any]) -> Any:
        """The next document of the reader; None at its end. Raises RecordError where it stops."""
        import pyarrow as pa

        try:
            return next(documents, None)
        except (RecordError, pa.ArrowMemoryError):
            # Too little memory is no fault of the record that happened to reach the limit: the file is tried again, alone.
            raise
        except (*STOPS, csv.Error, pa.ArrowException) as error:
            raise RecordError("broken_record", f"{self.source.reader} stops here ({type(error).__name__})") from error


def _rows(handle: BufferedReader) -> int | None:
    """The rows of a Parquet file, according to its footer; None if that cannot be read, or is not to be believed."""
    import pyarrow.parquet as pq

    try:
        rows: int = pq.read_metadata(handle).num_rows
    except FAULTS:
        return None
    return rows if rows >= 0 else None


def _text_lines(handle: BufferedReader, codec: Codec, limits: Limits) -> Iterator[str]:
    """The lines of a file. Bytes that are no UTF-8 become halves of surrogate pairs, so that they cost their record alone."""
    for line in lines.lines(chunks(handle, codec, limits.zstd_window), limits.record_bytes):
        if line.data is None:
            raise too_long(line.size, limits.record_bytes)
        data = line.data if line.number else line.data.removeprefix(codecs.BOM_UTF8)
        yield data.decode(errors="surrogateescape") + "\n"


def _fault(data: Mapping[Any, Any], text_key: str, place: Place) -> Rejected | None:
    """Why a record is no document, as far as its text says; None if the reader makes one of it."""
    text = data.get(text_key, MISSING)
    if text is MISSING:
        return quarantined(place, no_such("field", text_key, [key for key in data if isinstance(key, str)], reason="no_text"))
    if text is None:
        return dropped(place, "empty", "the text is null")
    if not isinstance(text, str):
        return quarantined(place, RecordError("no_text", f"the field {text_key!r} holds a {type(text).__name__}, not text"))
    return None if text else dropped(place, "empty", "holds no text")


def _record(found: Any, place: Place, limits: Limits) -> Record:
    """The record of a `datatrove.data.Document`: what fits of its metadata becomes fields. Media are counted as left out."""
    about = {key: value for key, value in found.metadata.items() if isinstance(key, str)}
    kept, left_out = fields(about, "url")
    return document(
        found.text,
        place,
        limits,
        identity=name_of(found.id),
        url=name_of(about.get("url")),
        about={"fields": kept},
        left_out=(*left_out, "media") if found.media else left_out,
    )
