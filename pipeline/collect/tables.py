"""Tables: Parquet by row groups, CSV by rows, with the text in a named column.

Guarantee: a damaged row group costs only its own rows, a damaged CSV row only itself. A CSV row is damaged if it is truncated,
has text after a closing quote, or is longer than the header. A record whose text is null is dropped as empty.
Cost: memory of `BATCH_ROWS` rows of Parquet, or one row of CSV.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.framing import Codec, chunks
from tokenmill.pipeline.collect.jsonl import nearest
from tokenmill.pipeline.collect.lines import lines
from tokenmill.pipeline.collect.records import Limits, Place, Record, dropped, of_row, quarantined, too_long
from tokenmill.pipeline.collect.text import utf8
from tokenmill.pipeline.config import FilesSource

BATCH_ROWS = 128
"""Rows per batch. Few, because a dictionary lets a small file hold large texts many times."""


def row_groups(path: str, text_field: str) -> list[tuple[int, int]] | None:
    """Rows and bytes of text of each row group, according to the file's footer. None if the footer cannot be read."""
    try:
        metadata = pq.read_metadata(path)
        groups = []
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            sizes = {
                group.column(at).path_in_schema: group.column(at).total_uncompressed_size for at in range(group.num_columns)
            }
            groups.append((group.num_rows, max(0, sizes.get(text_field, group.total_byte_size))))
    except (pa.ArrowException, OSError):
        return None
    return groups


def read_parquet(
    handle: BinaryIO, path: str, begin: int, end: int, before: int, source: FilesSource, limits: Limits
) -> Iterator[Record]:
    """The records of the row groups [begin, end). `before`: the number of rows before them."""
    try:
        table = pq.ParquetFile(handle)
        schema = table.schema_arrow
        end = min(end, table.num_row_groups)
        sizes = [table.metadata.row_group(number).num_rows for number in range(begin, end)]
    except (pa.ArrowException, OSError) as error:
        message = f"the file is not readable Parquet ({type(error).__name__})"
        yield quarantined(Place(path=path), RecordError("broken_parquet", message))
        return
    if source.text_field not in schema.names or not _is_text(schema.field(source.text_field).type):
        yield quarantined(Place(path=path), missing_column(source.text_field, schema.names))
        return
    wanted = [field.name for field in schema if _is_text(field.type) or _is_scalar(field.type)]
    for number, rows in zip(range(begin, end), sizes, strict=True):
        try:
            for batch in table.iter_batches(BATCH_ROWS, row_groups=[number], columns=wanted):
                for row, values in enumerate(_rows(batch), before):
                    yield _row(values, Place(path=path, record=row), source, limits)
                before += batch.num_rows
                rows -= batch.num_rows
        except (pa.ArrowException, OSError) as error:
            message = f"row group {number} cannot be read from here on ({type(error).__name__})"
            yield quarantined(Place(path=path, record=before), RecordError("broken_parquet", message))
        before += rows


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_scalar(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Rows with their text as bytes, because Arrow does not check that strings in a file are UTF-8."""
    columns = [(_as_binary(column) if _is_text(column.type) else column).to_pylist() for column in batch.columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, values, strict=True))


def _as_binary(column: pa.Array) -> pa.Array:
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return plain.cast(pa.large_binary())


def _row(values: Mapping[str, Any], place: Place, source: FilesSource, limits: Limits) -> Record:
    data = values[source.text_field]
    if data is None:
        return dropped(place, "empty", "the text is null")
    try:
        if len(data) > limits.record_bytes:
            raise too_long(len(data), limits.record_bytes)
        text = utf8(data)
        row = {
            name: utf8(value) if isinstance(value, bytes) else value
            for name, value in values.items()
            if name != source.text_field
        }
    except RecordError as error:
        return quarantined(place, error, data)
    return of_row(text, row, place, source, limits)


def missing_column(field: str, present: list[str]) -> RecordError:
    """The error of a table without the text column."""
    return RecordError("missing_column", f"no column {field!r} with text{nearest(field, present)}")


@dataclass(kw_only=True)
class _CsvLines:
    """Feeds lines to the csv module and remembers what is wrong with the lines of the current row."""

    parts: Iterator[bytes]
    cap_bytes: int
    fault: RecordError | None = None
    head: bytes = b""
    size: int = 0

    def __iter__(self) -> Iterator[str]:
        for line in lines(self.parts, self.cap_bytes):
            self.head = self.head or line.head or (line.data or b"")[:200]
            self.size += line.size
            if line.data is None:
                self.fault = too_long(line.size, self.cap_bytes)
                yield "\n"
                continue
            if self.size > self.cap_bytes:
                raise too_long(self.size, self.cap_bytes)
            try:
                yield utf8(line.data) + "\n"
            except RecordError as error:
                self.fault = self.fault or error
                yield line.data.decode(errors="replace") + "\n"

    def next_row(self) -> None:
        self.fault, self.head, self.size = None, b"", 0


def read_csv(handle: BinaryIO, codec: Codec, path: str, source: FilesSource, limits: Limits) -> Iterator[Record]:
    """The records of a file whose first row names the columns. Rows are numbered from 0 after it. Blank rows are skipped."""
    csv.field_size_limit(limits.record_bytes)
    feed = _CsvLines(parts=chunks(handle, codec), cap_bytes=limits.record_bytes)
    rows = csv.reader(iter(feed), strict=True)
    header: list[str] | None = None
    fault: RecordError | None
    number = 0
    while True:
        place = Place(path=path, record=number)
        feed.next_row()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            fault, row = RecordError("broken_csv", f"the row is not CSV ({error})"), []
        except RecordError as error:
            yield quarantined(place, error, feed.head)
            return
        else:
            fault = feed.fault
        if fault is None and not row:
            continue
        if header is None:
            fault = fault or _header_fault(row, source.text_field)
            if fault is not None:
                yield quarantined(Place(path=path), fault, feed.head)
                return
            header = row
            continue
        fault = fault or _row_fault(row, header, source.text_field)
        if fault is not None:
            yield quarantined(place, fault, feed.head)
        else:
            values = dict(zip(header, row, strict=False))
            yield of_row(values[source.text_field], values, place, source, limits)
        number += 1


def _header_fault(header: list[str], text_field: str) -> RecordError | None:
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        return RecordError("broken_csv", f"the header names {repeated[0]!r} more than once")
    return None if text_field in header else missing_column(text_field, header)


def _row_fault(row: list[str], header: list[str], text_field: str) -> RecordError | None:
    if len(row) > len(header):
        return RecordError("broken_csv", f"the row has {len(row)} fields, the header {len(header)} columns")
    if len(row) <= header.index(text_field):
        return RecordError("no_text", f"the row ends before the column {text_field!r}")
    return None
