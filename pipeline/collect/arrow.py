"""Arrow's files and streams (`.arrow`, Feather version 2), with the text in a named column.

Guarantee: a batch of rows is checked before any value of it is read. A damaged batch costs its own rows and those after it. A
record whose text is null is dropped as empty.
Cost: memory of a batch, which the library reads whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BufferedReader
from typing import TYPE_CHECKING

import pyarrow as pa

from tokenmill.pipeline.base import textfield
from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.textfield import TextField
from tokenmill.pipeline.collect import columns
from tokenmill.pipeline.collect.faults import StreamError, broken_off
from tokenmill.pipeline.collect.records import Limits, Place, Record
from tokenmill.pipeline.collect.tables import FAULTS, ROW_BYTES

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import DatasetSource, FilesSource

FILE, FEATHER_1 = b"ARROW1", b"FEA1"
SLICE_ROWS = 128
"""Rows whose values are taken out together."""


def read(handle: BufferedReader, path: str, source: FilesSource | DatasetSource, limits: Limits) -> Iterator[Record]:
    """The records of a file, numbered from 0."""
    field = textfield.parse(source.text_field)
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    limits.growth.read(size)
    number = begun = 0
    try:
        for batch in _batches(handle, field):
            begun = number
            for at in range(0, batch.num_rows, SLICE_ROWS):
                part = batch.slice(at, SLICE_ROWS)
                limits.begin(Place(path=path, record=f"{number}-"))
                for texts, row in zip(columns.texts(part, field), columns.rows(part, field), strict=True):
                    limits.growth.produced(ROW_BYTES + sum(len(text or b"") for text in texts))
                    yield columns.record(texts, row, field, Place(path=path, record=number), source, limits)
                    number += 1
            limits.begin(Place(path=path, record=f"{number}-"))
    except pa.ArrowMemoryError:
        # The limit of memory, which is no fault of the batch that happened to reach it: it is tried again, alone.
        raise
    except (RecordError, *FAULTS) as error:
        reason = error.reason if isinstance(error, RecordError) else "broken_arrow"
        said = str(error) if isinstance(error, RecordError) else f"it is damaged ({type(error).__name__})"
        # Files name no number of rows, so as many bytes as there are to the end are missing.
        at = min(size, handle.tell()) if begun or number else 0
        message = f"the file is not read {'from here on' if number else 'at all'}: {said}"
        unread_bytes = size - at or size
        lost = StreamError(reason, message, unread_bytes=unread_bytes, missing=unread_bytes / max(1, at))
        yield broken_off(Place(path=path, record=number) if number else Place(path=path), lost, number)


def _batches(handle: BufferedReader, field: TextField) -> Iterator[pa.RecordBatch]:
    """The batches of a file. Raises RecordError, and what the library raises for damage."""
    head = handle.peek(len(FILE))
    if head.startswith(FEATHER_1):
        raise RecordError("broken_arrow", "it is Feather of version 1; write version 2 (`pyarrow.feather.write_feather`)")
    if head.startswith(FILE):
        reader = pa.ipc.open_file(handle)
        found = map(reader.get_batch, range(reader.num_record_batches))
    else:
        reader = pa.ipc.open_stream(handle)
        found = iter(reader)
    fault = columns.fault(reader.schema, field)
    if fault is not None:
        raise fault
    for batch in found:
        # Offsets out of bounds would be followed. This checks strings too.
        batch.validate(full=True)
        yield batch
