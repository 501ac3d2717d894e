"""Sizes of a Parquet file's footer and pages, read before any of them is decoded.

Purpose: 46 kB of Parquet may hold a text of 1.5 GB, and 4,096 rows one dictionary value of 30 MB. Footers do not say so: their
sizes are of whole columns.
Source: parquet.thrift of the format's specification (PageHeader), in Thrift's compact encoding.
Guarantee: a batch of more than one row holds at most `BATCH_BYTES` of values, if the headers are right, and no page over
`PAGE_BYTES` is read. A header that cannot be read is left to the reader, which refuses it.
Cost: about 10 us a page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, BinaryIO

from tokenmill.pipeline.base.errors import RecordError

FOOTER_BYTES = 32 << 20
"""Largest footer. Decoded it takes 20 times as much; 1,000 row groups of 100 columns have 10 MB."""
PAGE_BYTES = 256 << 20
"""Largest page of a column that is needed. Most writers end a page at 1 MB, the largest known at 100 MB."""
FURTHER_PAGE_BYTES, FURTHER_DICTIONARY_BYTES = 16 << 20, 2 << 20
"""Largest pages of other columns, whose short values go into the metadata."""
MOST_PAGES = 500_000
"""Pages of a row group that are looked at, which takes 5 s. Writers fill a page with 1 MB or 20,000 rows."""
BATCH_BYTES = 64 << 20
MOST_ROWS = 128
DEEPEST = 16
DICTIONARY_PAGE = 2
STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)
"""Types of the compact encoding."""


@dataclass(frozen=True, kw_only=True)
class PagePlan:
    """How a row group is read: rows per batch, and the columns that are too large for it."""

    batch_rows: int
    too_large: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the header of a page says."""

    is_dictionary: bool
    bytes: int
    """Size after decompression."""


class _Malformed(Exception):
    """The header of a page cannot be read."""


def check_footer(handle: BinaryIO) -> None:
    """Raise RecordError (too_long) if the footer is too large. Its size stands before the last four bytes."""
    file_bytes = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, file_bytes - 8))
    size = int.from_bytes(handle.read(4), "little")
    handle.seek(0)
    if FOOTER_BYTES < size < file_bytes:
        raise RecordError("too_long", f"the footer has {size} bytes, at most {FOOTER_BYTES} are read")


def plan(handle: BufferedReader, group: Any, needed: frozenset[str], wanted: frozenset[str]) -> PagePlan:
    """How to read the columns `wanted` of a row group (`pyarrow.parquet.RowGroupMetaData`), of which `needed` must be read.

    Raises RecordError: too_long if a page of a needed column is too large, bomb if there are too many pages.
    """
    in_batch = pages = 0
    too_large: set[str] = set()
    for at in range(group.num_columns):
        chunk = group.column(at)
        name = chunk.path_in_schema if chunk.path_in_schema in wanted else chunk.path_in_schema.partition(".")[0]
        if name not in wanted:
            continue
        largest = 0
        for page in _pages(handle, chunk):
            largest = max(largest, page.bytes)
            pages += 1
            if pages > MOST_PAGES:
                raise RecordError("bomb", f"it has more than {MOST_PAGES} pages")
            if name in needed and page.bytes > PAGE_BYTES:
                message = f"the column {name!r} has a page of {page.bytes} bytes, at most {PAGE_BYTES} are read"
                raise RecordError("too_long", message)
            if name not in needed and page.bytes > (FURTHER_DICTIONARY_BYTES if page.is_dictionary else FURTHER_PAGE_BYTES):
                too_large.add(name)
        in_batch += 0 if name in too_large else largest
    rows = max(1, min(MOST_ROWS, BATCH_BYTES // max(1, in_batch)))
    return PagePlan(batch_rows=rows, too_large=frozenset(too_large))


def _pages(handle: BufferedReader, chunk: Any) -> Iterator[Page]:
    """The pages of a column chunk, as far as their headers can be read."""
    at = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < at:
        at = chunk.dictionary_page_offset
    end = at + chunk.total_compressed_size
    try:
        while 0 < at < end:
            handle.seek(at)
            header = _struct(handle, 0)
            kind, size, stored = (header.get(number, -1) for number in (1, 2, 3))
            if size < 0 or stored < 0:
                return
            yield Page(is_dictionary=kind == DICTIONARY_PAGE, bytes=size)
            at = handle.tell() + stored
    except _Malformed:
        return


def _struct(handle: BufferedReader, depth: int) -> dict[int, int]:
    """The integers of a struct by their field's number; all else is skipped."""
    if depth > DEEPEST:
        raise _Malformed
    found: dict[int, int] = {}
    number = 0
    while (begin := _byte(handle)) & 15 != STOP:
        kind, delta = begin & 15, begin >> 4
        number = number + delta if delta else _zigzag(handle)
        if kind in (I16, I32, I64):
            found[number] = _zigzag(handle)
        elif kind not in (TRUE, FALSE):
            # A truth value of a field is its type.
            _skip(handle, kind, depth)
    return found


def _skip(handle: BufferedReader, kind: int, depth: int) -> None:
    if kind in (TRUE, FALSE, BYTE):
        _byte(handle)
    elif kind in (I16, I32, I64):
        _varint(handle)
    elif kind == DOUBLE:
        handle.read(8)
    elif kind == BINARY:
        handle.seek(_varint(handle), 1)
    elif kind == STRUCT:
        _struct(handle, depth + 1)
    else:
        # Headers of pages hold no lists, sets or maps.
        raise _Malformed


def _byte(handle: BufferedReader) -> int:
    data = handle.read(1)
    if not data:
        raise _Malformed
    return data[0]


def _varint(handle: BufferedReader) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = _byte(handle)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise _Malformed


def _zigzag(handle: BufferedReader) -> int:
    value = _varint(handle)
    return (value >> 1) ^ -(value & 1)
