"""CSV and TSV by rows, with the text in a named column.

Guarantee: a damaged row costs only itself. It is damaged if it is truncated, has text after a closing quote, or is longer than
the header; a quote that does not end also takes lines after it, which are counted.
Cost: memory of one row.
"""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from tokenmill.pipeline.base import textfield
from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.textfield import TextField
from tokenmill.pipeline.collect import columns
from tokenmill.pipeline.collect.faults import broken_off
from tokenmill.pipeline.collect.framing import Codec, chunks
from tokenmill.pipeline.collect.lines import lines
from tokenmill.pipeline.collect.records import Limits, Place, Record, Rejected, of_row, quarantined, too_long
from tokenmill.pipeline.collect.text import utf8

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import DatasetSource, FilesSource


@dataclass(kw_only=True)
class _CsvLines:
    """Feeds lines to the csv module and remembers what is wrong with the lines of the current row."""

    parts: Iterator[bytes]
    cap_bytes: int
    fault: RecordError | None = None
    head: bytes = b""
    size: int = 0
    count: int = 0
    """Lines of the current row."""
    at_end: bool = False

    def __iter__(self) -> Iterator[str]:
        for line in lines(self.parts, self.cap_bytes):
            self.head = self.head or line.head or (line.data or b"")[:200]
            self.size += line.size
            self.count += 1
            if line.data is None:
                self.fault = too_long(line.size, self.cap_bytes)
                yield "\n"
                continue
            if self.size > self.cap_bytes:
                # A row of several lines is within quotes. A quote ends it, so that the next line begins a row again.
                self.fault = too_long(self.size, self.cap_bytes)
                yield '"\n'
                continue
            try:
                yield utf8(line.data) + "\n"
            except RecordError as error:
                self.fault = self.fault or error
                yield line.data.decode(errors="replace") + "\n"
        self.at_end = True

    def next_row(self) -> None:
        self.fault, self.head, self.size, self.count = None, b"", 0, 0


def read_csv(
    handle: BinaryIO, codec: Codec, delimiter: str, path: str, source: FilesSource | DatasetSource, limits: Limits
) -> Iterator[Record]:
    """The records of a file whose first row names the columns. Rows are numbered from 0 after it. Blank rows are skipped."""
    field = textfield.parse(source.text_field)
    csv.field_size_limit(limits.record_bytes)
    feed = _CsvLines(parts=chunks(handle, codec, limits.zstd_window), cap_bytes=limits.record_bytes)
    rows = csv.reader(iter(feed), strict=True, delimiter=delimiter)
    header: list[str] | None = None
    fault: RecordError | None
    number = lines_read = 0
    while True:
        place = Place(path=path, record=number)
        feed.next_row()
        open_quote = False
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            fault, row, open_quote = RecordError("broken_csv", f"the row is not CSV ({error})"), [], True
        except RecordError as error:
            yield broken_off(place, error, number, feed.head)
            return
        else:
            fault = feed.fault
            open_quote = feed.size > limits.record_bytes
        if fault is None and not row:
            continue
        if header is None:
            fault = fault or _header_fault(row, field)
            if fault is not None:
                yield _without_header(handle, rows, Place(path=path), fault, feed.head)
                return
            header = row
            continue
        fault = fault or _row_fault(row, header, field)
        if fault is None:
            values = dict(zip(header, row, strict=False))
            text = field.joined([values[name] for name in field.columns]) or ""
            yield of_row(text, field.without(values), place, source, limits)
        elif open_quote:
            yield _swallowed(feed, place, fault, number / max(1, lines_read))
        else:
            yield quarantined(place, fault, feed.head)
        number += 1
        lines_read += feed.count


def _swallowed(feed: _CsvLines, place: Place, fault: RecordError, rows_per_line: float) -> Rejected:
    """A row with a quote that does not end, which takes lines after it into its row; at the end of a file, it may be cut."""
    if feed.count <= 1 and not feed.at_end:
        return quarantined(place, fault, feed.head)
    lost = max(1, math.ceil(feed.count * rows_per_line))
    note = f"the row takes {feed.count} lines, which may be rows of their own"
    if feed.at_end:
        lost = max(lost, int(place.record or 0))
        note = "the file ends within the row, so it may be cut"
    return quarantined(place, fault.with_note(note), feed.head, unread_bytes=feed.size, estimate=lost)


def _without_header(handle: BinaryIO, rows: Iterator[list[str]], place: Place, fault: RecordError, head: bytes) -> Rejected:
    """A file whose header cannot be used: its rows are counted, so that all of them are known to be lost."""
    count = 0
    while True:
        try:
            count += bool(next(rows))
        except StopIteration:
            return quarantined(place, fault, head, rows=count, unread_bytes=handle.seek(0, os.SEEK_END))
        except csv.Error:
            count += 1
        except RecordError as error:
            lost = broken_off(place, error, count)
            size = handle.seek(0, os.SEEK_END)
            return quarantined(place, fault, head, rows=count + 1, unread_bytes=size, estimate=count + lost.estimate)


def _header_fault(header: list[str], field: TextField) -> RecordError | None:
    repeated = sorted(name for name, count in Counter(header).items() if name and count > 1)
    if repeated:
        return RecordError("broken_csv", f"the header names {repeated[0]!r} more than once")
    missing = next((name for name in field.columns if name not in header), None)
    return None if missing is None else columns.missing(missing, header)


def _row_fault(row: list[str], header: list[str], field: TextField) -> RecordError | None:
    if len(row) > len(header):
        return RecordError("broken_csv", f"the row has {len(row)} fields, the header {len(header)} columns")
    for name in field.columns:
        if len(row) <= header.index(name):
            return RecordError("no_text", f"the row ends before the column {name!r}")
    return None
