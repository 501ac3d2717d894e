"""Web archives that are packed with their indexes (`.wacz`): the WARC files in a ZIP file.

Source: WACZ 1.1.1: WARC files stand below `archive/`, without compression by ZIP, so that they can be read from any place.
Guarantee: no more is read than the file has bytes: a ZIP file whose entries share bytes, or that compresses its WARC files, is
refused. What else stands in it (indexes, pages, logs) holds no captures and is left out.
Cost: that of its WARC files.
"""

from __future__ import annotations

import errno
import io
import os
import zipfile
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, cast

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import warc
from tokenmill.pipeline.collect.kinds import kind_of
from tokenmill.pipeline.collect.records import RECORD_BYTES, Limits, Place, Record, dropped, quarantined

ARCHIVE = "archive/"
LOCAL_HEADER_BYTES = 30
MOST_ENTRIES = 10_000
"""Entries of the largest known collections: one for every GB."""
FAULTS = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, UnicodeError)
"""What the library raises on damaged files; NotImplementedError is its word for a compression that it does not know."""


class Window(io.RawIOBase):
    """The bytes [begin, begin + size) of a file, as a file."""

    def __init__(self, handle: BufferedReader, begin: int, size: int) -> None:
        self._handle, self._begin, self._size = handle, begin, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        self._handle.seek(self._begin + self._at)
        data = self._handle.read(min(len(buffer), max(0, self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def read(handle: BufferedReader, path: str, limits: Limits) -> Iterator[Record]:
    """The records of all its WARC files, in the order of their names."""
    size = handle.seek(0, os.SEEK_END)
    try:
        limits.begin(Place(path=path))
        found = _entries(handle, size)
    except RecordError as error:
        yield quarantined(Place(path=path), error, unread_bytes=size, estimate=max(1, size // RECORD_BYTES))
        return
    if not found:
        yield dropped(Place(path=path), "empty", f"holds no WARC file below {ARCHIVE}")
    for name, begin, length, codec in found:
        window = cast(BufferedReader, io.BufferedReader(Window(handle, begin, length), 1 << 16))
        yield from warc.read(window, codec, path, 0, length, limits, within=name)


def _entries(handle: BufferedReader, size: int) -> list[tuple[str, int, int, Any]]:
    """Name, first byte, length and codec of each WARC file. Raises RecordError: broken_archive, bomb."""
    try:
        with zipfile.ZipFile(handle) as packed:
            infos = [one for one in packed.infolist() if one.filename.startswith(ARCHIVE)]
    except (*FAULTS, OSError) as error:
        # Offsets before the file's begin are no fault of the disk.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise RecordError("broken_archive", f"the file is no ZIP file that can be read ({type(error).__name__})") from error
    if len(infos) > MOST_ENTRIES:
        raise RecordError("bomb", f"it has {len(infos)} entries below {ARCHIVE}, at most {MOST_ENTRIES} are read")
    found = []
    end = 0
    for info in sorted(infos, key=lambda one: one.header_offset):
        how = kind_of(info.filename)
        if how is None or how[0] != "warc":
            continue
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            message = f"{info.filename!a} is compressed or encrypted by ZIP; WACZ stores WARC files as they are: pack it anew"
            raise RecordError("broken_archive", message)
        handle.seek(max(0, info.header_offset))
        header = handle.read(LOCAL_HEADER_BYTES)
        begin = info.header_offset + LOCAL_HEADER_BYTES + sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
        if not header.startswith(b"PK\x03\x04") or info.header_offset < end or begin + info.file_size > size:
            raise RecordError("broken_archive", f"{info.filename!a} lies outside the file, or over another entry")
        end = begin + info.file_size
        found.append((ascii(info.filename)[1:-1], begin, info.file_size, how[1]))
    return sorted(found)
