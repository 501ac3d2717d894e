"""Parquet by row groups, with the text in a named column.

Guarantee: a damaged row group costs only its own rows. Checksums of pages are verified. A record whose text is null is dropped
as empty.
Cost: memory of a batch, at most 64 MB (`pages`).
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base import textfield
from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.textfield import TextField, steps
from tokenmill.pipeline.collect import columns, pages
from tokenmill.pipeline.collect.columns import LEFT_OUT
from tokenmill.pipeline.collect.records import RECORD_BYTES, Limits, Place, Record, Rejected, quarantined

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import DatasetSource, FilesSource

BUFFER_BYTES = 1 << 20
"""A column is read in such parts. Otherwise the library holds all of a row group's compressed bytes."""
ROW_BYTES = 16
"""What a row counts beside its text. Without that, 48 kB of Parquet may hold 20 million rows without text."""
FAULTS = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What the library raises on damaged files. Names of columns that are not UTF-8 are the last one."""


def row_groups(handle: BinaryIO, text_field: str) -> list[tuple[int, int]] | None:
    """Rows and bytes of text of each row group, according to the file's footer. None if the footer cannot be read."""
    try:
        pages.check_footer(handle)
        metadata = pq.read_metadata(handle)
        names = textfield.parse(text_field).columns
        groups = []
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            sizes = {
                group.column(at).path_in_schema: group.column(at).total_uncompressed_size for at in range(group.num_columns)
            }
            known = [sizes[name] for name in names if name in sizes]
            groups.append((max(0, group.num_rows), max(0, sum(known) if known else group.total_byte_size)))
    except (RecordError, *FAULTS):
        return None
    return groups


@dataclass(frozen=True, kw_only=True)
class _RowGroup:
    """What the footer says of a row group. `wanted`: the columns beside the text to read."""

    number: int
    rows: int
    compressed_bytes: int
    text_bytes: int
    wanted: tuple[str, ...]

    def share(self, rows: int) -> int:
        """The compressed bytes of `rows` of its rows."""
        return self.compressed_bytes * rows // max(1, self.rows)


def read_parquet(
    handle: BufferedReader, path: str, begin: int, end: int, before: int, source: FilesSource | DatasetSource, limits: Limits
) -> Iterator[Record]:
    """The records of the row groups [begin, end). `before`: the number of rows before them."""
    rows = 0
    field = textfield.parse(source.text_field)
    try:
        pages.check_footer(handle)
        table = pq.ParquetFile(handle, page_checksum_verification=True, buffer_size=BUFFER_BYTES, pre_buffer=False)
        rows = table.metadata.num_rows
        schema = table.schema_arrow
        groups = [_row_group(table, schema, number, field) for number in range(begin, min(end, table.num_row_groups))]
    except pa.ArrowMemoryError:
        raise
    except (RecordError, *FAULTS) as error:
        yield _unreadable(handle, path, error, rows)
        return
    rows = sum(group.rows for group in groups)
    fault = columns.fault(schema, field)
    if fault is not None:
        size = sum(group.compressed_bytes for group in groups)
        yield quarantined(Place(path=path), fault, rows=rows, unread_bytes=size)
        return
    needed = frozenset((*field.columns, source.id_field, source.url_field))
    for group in groups:
        left = group.rows
        reason, why = "broken_parquet", "holds fewer rows than the footer names"
        try:
            wanted = frozenset((*field.columns, *group.wanted))
            how = pages.plan(handle, table.metadata.row_group(group.number), needed, wanted)
            limits.growth.read(group.text_bytes)
            read = dict.fromkeys((*field.columns, *(name for name in group.wanted if name not in how.too_large)))
            unread = {name: LEFT_OUT for name in schema.names if name not in read}
            batches = table.iter_batches(how.batch_rows, row_groups=[group.number], columns=list(read), use_threads=False)
            while True:
                limits.begin(Place(path=path, record=f"{before}-"))
                if (batch := next(batches, None)) is None:
                    break
                for texts, values in zip(columns.texts(batch, field), columns.rows(batch, field), strict=True):
                    limits.growth.produced(ROW_BYTES + sum(len(text or b"") for text in texts))
                    place = Place(path=path, record=before)
                    yield columns.record(texts, {**values, **unread}, field, place, source, limits)
                    before += 1
                    left -= 1
        except RecordError as error:
            reason, why = error.reason, f"is not read from here on: {error}"
        except pa.ArrowMemoryError:
            # The limit of memory, which is no fault of the row group that happened to reach it: it is tried again, alone.
            raise
        except FAULTS as error:
            why = f"cannot be read from here on ({_fault(error)})"
        if left > 0:
            message = f"row group {group.number} {why}; {left} of its {group.rows} rows are not read"
            fault = RecordError(reason, message)
            yield quarantined(Place(path=path, record=before), fault, rows=left, unread_bytes=group.share(left))
            before += left


def _row_group(table: pq.ParquetFile, schema: pa.Schema, number: int, field: TextField) -> _RowGroup:
    """Raises UnicodeDecodeError for a damaged name, of whatever column."""
    around = {steps(name, schema.names)[0] for name in field.columns}
    group = table.metadata.row_group(number)
    leaves = {(leaf := group.column(at)).path_in_schema: leaf for at in range(group.num_columns)}
    # Tables have 10,000 columns and more, so nothing here looks at all columns for each.
    below: defaultdict[str, list[pq.ColumnChunkMetaData]] = defaultdict(list)
    for name, leaf in leaves.items():
        below[name.partition(".")[0]].append(leaf)
    called = Counter(schema.names)
    return _RowGroup(
        number=number,
        rows=group.num_rows,
        compressed_bytes=sum(max(0, leaf.total_compressed_size) for leaf in leaves.values()),
        text_bytes=sum(leaves[name].total_compressed_size for name in field.columns if name in leaves),
        wanted=tuple(
            one.name
            for one in schema
            if called[one.name] == 1
            and one.name not in around
            and columns.is_read(one.type)
            and (not columns.is_nested(one.type) or columns.fits(below[one.name.partition(".")[0]], group.num_rows))
        ),
    )


def _unreadable(handle: BinaryIO, path: str, error: Exception, rows: int) -> Rejected:
    """A file whose footer cannot be used. If it does not even say how many `rows` there are, they are estimated."""
    size = handle.seek(0, os.SEEK_END)
    unread = f"its {rows or 'unknown'} rows ({size} bytes) are not read"
    if isinstance(error, RecordError):
        found = error.with_note(unread)
    else:
        found = RecordError("broken_parquet", f"the file is not readable Parquet ({_fault(error)}); {unread}")
    estimate = 0 if rows > 0 else max(1, size // RECORD_BYTES)
    return quarantined(Place(path=path), found, rows=rows, unread_bytes=size, estimate=estimate)


def _fault(error: Exception) -> str:
    """What is wrong, without words of the library's message that may come from the file."""
    if isinstance(error, UnicodeDecodeError):
        return "a name in it is not UTF-8"
    if "CRC checksum verification failed" in str(error):
        return "the bytes of a page do not match its checksum"
    return type(error).__name__
