"""Lines out of bytes, ranges of lines, and files with one record per line or between separators.

Guarantee: a line ends with "\\n", "\\r\\n" or "\\r". A line over its cap is skipped and reported. One broken line is one
quarantined record; its neighbours are untouched. Blank lines are not records. Where a compressed file breaks off, one
quarantined record says how much was not read.
Cost: memory of one line.
"""

from __future__ import annotations

import dataclasses
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.faults import broken_off
from tokenmill.pipeline.collect.framing import Codec, between, chunks
from tokenmill.pipeline.collect.records import PREVIEW_BYTES, ZSTD_WINDOW, Place, PlainLines, Record, quarantined, too_long

LONG_BYTES = 1 << 20
"""A line that is longer when a part ends is held as a list of parts, with all that follows."""


def records(
    handle: BinaryIO,
    codec: Codec,
    path: str,
    begin: int,
    end: int,
    before: int,
    cap_bytes: int,
    make: Callable[[bytes, Place], Record],
    zstd_window: int = ZSTD_WINDOW,
) -> Iterator[Record]:
    """The records of a file, numbered by line. Of an uncompressed file: those whose lines start in the bytes [begin, end).

    `before`: the number of line ends before `begin`. `make` gets a line of at most `cap_bytes`, without its end; it may raise
    RecordError.
    """
    parts, first = parts_of(handle, codec, begin, end, before, zstd_window)
    return records_of(lines(parts, cap_bytes, first), path, before, cap_bytes, make)


def parts_of(
    handle: BinaryIO, codec: Codec, begin: int, end: int, before: int, zstd_window: int
) -> tuple[Iterator[bytes], int]:
    """The bytes of the lines that start in the bytes [begin, end) of a file, and the number of the first one."""
    if codec:
        return chunks(handle, codec, zstd_window), 0
    start = line_start(handle, begin)
    # If a line crosses `begin`, its end lies between `begin` and `start`.
    return between(handle, start, line_start(handle, end)), before + (start > begin)


def records_of(
    found: Iterator[Line], path: str, before: int, cap_bytes: int, make: Callable[[bytes, Place], Record], read: int = 0
) -> Iterator[Record]:
    """The records of lines, numbered by line; `before` is the number of the first one, `read` how many were read before it.

    See `records`.
    """
    number = before - 1
    try:
        for line in found:
            number = line.number
            place = Place(path=path, record=number)
            if line.data is None:
                read += 1
                yield quarantined(place, too_long(line.size, cap_bytes), line.head)
            elif line.data.strip():
                read += 1
                yield _made(line.data, line.ended, place, make)
    except RecordError as error:
        yield broken_off(Place(path=path, record=number + 1), error, read)


def runs_of(
    parts: Iterator[bytes], path: str, before: int, cap_bytes: int, make: Callable[[bytes, Place], Record]
) -> Iterator[Record]:
    """The records of the lines of a stream, numbered from `before`. Those that `make` would only wrap come as `PlainLines`."""
    parts = _with_newlines(parts)
    held, number, read = b"", before, 0
    try:
        for part in parts:
            data = held + part
            end = data.rfind(b"\n")
            whole, held = data[: max(end, 0)], data[end + 1 :]
            if end >= 0:
                plain = _plain(whole, cap_bytes)
                records = [] if plain is None else plain.split(b"\n")
                if plain is None:
                    yield from records_of(
                        _divided(iter([whole, b"\n"]), b"\n", cap_bytes, number), path, number, cap_bytes, make
                    )
                    records = list(filter(None, map(bytes.strip, whole.split(b"\n"))))
                elif any(records):
                    yield PlainLines(path=path, first=number, data=plain)
                read += len(records) - records.count(b"")
                number += whole.count(b"\n") + 1
            if len(held) > LONG_BYTES:
                break
    except RecordError as error:
        yield broken_off(Place(path=path, record=number), error, read)
        return
    yield from records_of(_divided(chain([held], parts), b"\n", cap_bytes, number), path, number, cap_bytes, make, read)


def _plain(data: bytes, cap_bytes: int) -> bytes | None:
    """Whole lines with blank ones emptied; None if one of them has to be looked at by itself."""
    if BOM_UTF8 in data:
        return None
    try:
        texts = data.decode().split("\n")
    except UnicodeDecodeError:
        return None
    found = data.split(b"\n")
    if max(map(len, found)) > cap_bytes:
        return None
    blank = [number for number, text in enumerate(texts) if text.isspace()]
    if any(found[number].strip() for number in blank):
        return None
    for number in blank:
        found[number] = b""
    return b"\n".join(found) if blank else data


def _made(data: bytes, ended: bool, place: Place, make: Callable[[bytes, Place], Record]) -> Record:
    try:
        return make(data, place)
    except RecordError as error:
        if ended:
            return quarantined(place, error, data)
        # The file may be cut here. As much as there is up to here may be missing.
        found = error.with_note("the file ends within the line, so it may be cut")
        return quarantined(place, found, data, estimate=max(1, int(place.record or 0)))


def line_start(handle: BinaryIO, at: int) -> int:
    """The position of the first line that starts at byte `at` or later; the file's size if there is none."""
    if at == 0:
        return 0
    at -= 1
    held = b""
    for part in between(handle, at, None):
        data = held + part
        newline = data.find(b"\n")
        end = newline if newline >= 0 else len(data)
        bare = data.find(b"\r", 0, end)
        # The "\r" right before the newline is half of "\r\n", and so may be one at the end of the part.
        if 0 <= bare < end - 1:
            return at + bare + 1
        if newline >= 0:
            return at + newline + 1
        held = b"\r" if bare >= 0 else b""
        at += len(data) - len(held)
    return at + len(held)


def line_ends(data: bytes, following: bytes) -> int:
    """The number of line ends in `data`. "\r\n" is one, and is where its "\n" is; `following`: the byte after `data`."""
    newlines = data.count(b"\n")
    if b"\r" not in data:
        return newlines
    return newlines + data.count(b"\r") - data.count(b"\r\n") - (data.endswith(b"\r") and following == b"\n")


def _with_newlines(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts with each "\r\n" and each "\r" as "\n"."""
    held = b""
    for part in parts:
        if held or b"\r" in part:
            data = held + part
            # A "\r" at the end may be the first half of "\r\n".
            held = b"\r" if data.endswith(b"\r") else b""
            yield data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            yield part
    if held:
        yield b"\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line without its end. If the line is over the cap, `data` is None and `head` holds its beginning."""

    number: int
    data: bytes | None
    head: bytes = b""
    size: int = 0
    ended: bool = True
    """False for what follows the last line end of a file."""


def lines(parts: Iterator[bytes], cap_bytes: int, first: int = 0) -> Iterator[Line]:
    """The lines of a stream, numbered from `first`. If the stream breaks off within a line, that line is not yielded."""
    return _divided(_with_newlines(parts), b"\n", cap_bytes, first)


def separated(parts: Iterator[bytes], separator: bytes, cap_bytes: int) -> Iterator[Line]:
    """What stands between separators in a stream, as `lines` gives lines, with "\\n" for each end of a line."""
    separator = separator.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _divided(_with_whole(_with_newlines(parts), separator), separator, cap_bytes, 0)


def _with_whole(parts: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    """The same bytes, divided so that no separator lies in two parts."""
    held = b""
    for part in parts:
        data = held + part
        begun = next((size for size in range(len(separator) - 1, 0, -1) if data.endswith(separator[:size])), 0)
        held = data[len(data) - begun :]
        yield data[: len(data) - begun]
    yield held


def _divided(parts: Iterator[bytes], end: bytes, cap_bytes: int, first: int) -> Iterator[Line]:
    """What `end` ends in a stream, and what follows the last one."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        *ended, rest = part.split(end)
        for piece in ended:
            yield _line(first, held, piece, size + len(piece), cap_bytes)
            first, held, size = first + 1, [], 0
        size += len(rest)
        if size <= cap_bytes:
            held.append(rest)
        elif len(held) != 1 or len(held[0]) != PREVIEW_BYTES:
            held = [b"".join((*held, rest))[:PREVIEW_BYTES]]
    if size:
        yield dataclasses.replace(_line(first, held, b"", size, cap_bytes), ended=False)


def _line(number: int, held: list[bytes], piece: bytes, size: int, cap_bytes: int) -> Line:
    data = b"".join((*held, piece)) if held else piece
    if size > cap_bytes:
        return Line(number=number, data=None, head=data[:PREVIEW_BYTES], size=size)
    return Line(number=number, data=data, size=size)
