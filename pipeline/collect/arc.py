"""Web archives of the older format ARC (`.arc`, `.arc.gz`), which crawlers wrote before WARC.

Source: the ARC file format of the Internet Archive, versions 1 and 2: a line with address, IP, date, type and length, then
so many bytes, which are the HTTP response.
Purpose: as for WARC, captures become documents. The record that describes the file counts as `warcinfo`.
Guarantee: after a broken record, reading continues at the next line that is a header.
Cost: about 30 MB of HTML per second; memory of one record.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from io import BufferedReader

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import capture
from tokenmill.pipeline.collect.bytestream import ByteStream
from tokenmill.pipeline.collect.capture import Capture
from tokenmill.pipeline.collect.faults import broken_off
from tokenmill.pipeline.collect.framing import Codec, chunks
from tokenmill.pipeline.collect.records import Limits, Place, Record, Skipped, quarantined, too_long

MOST_LINE_BYTES = 1 << 14
HEADER = re.compile(rb"(\S[^\r\n]*?) ([0-9A-Fa-f.:]+) (\d{14}) (\S+)(?: [^\r\n]*)? (\d{1,18})\r?\n?")
"""Address (which may hold spaces), IP, date, type, what version 2 has between, length."""
DESCRIPTION = b"filedesc:"


def read(handle: BufferedReader, codec: Codec, path: str, limits: Limits) -> Iterator[Record]:
    """The records of a file."""
    stream = ByteStream(chunks(handle, codec, limits.zstd_window))
    read = begin = 0
    try:
        while stream.between_records():
            begin = stream.at
            record = _record(stream, Place(path=path, record=begin), limits)
            read += not isinstance(record, Skipped)
            yield record
    except EOFError:
        error = RecordError("cut_archive", f"the record is cut: the data end at byte {stream.at}")
        # A file that is cut may lack as much as it has.
        place = Place(path=path, record=begin)
        yield quarantined(place, error, unread_bytes=stream.at - begin, estimate=max(1, read))
    except RecordError as error:
        yield broken_off(Place(path=path, record=begin), error, read)


def _record(stream: ByteStream, place: Place, limits: Limits) -> Record:
    """The record that begins here. Raises EOFError; StreamError for a fault of the file, not of the record."""
    begin = stream.at
    header = HEADER.fullmatch(stream.line(MOST_LINE_BYTES))
    if header is None:
        stream.skip_to_line(HEADER, MOST_LINE_BYTES)
        lost = stream.at - begin
        return quarantined(place, RecordError("broken_arc", "no ARC record begins here"), unread_bytes=lost)
    size = int(header[5])
    is_capture = not header[1].startswith(DESCRIPTION)
    wanted = is_capture and size <= limits.record_bytes
    block = stream.take(size) if wanted else b""
    missing = size - len(block) if wanted else size - stream.skip(size)
    if missing > _bare_ends(block):
        raise EOFError
    if not is_capture:
        return Skipped(type="warcinfo")
    if not wanted:
        return dataclasses.replace(quarantined(place, too_long(size, limits.record_bytes)), type="response")
    found = Capture(
        is_http=block.startswith(b"HTTP/"),
        is_conversion=False,
        fields={"content-type": (header[4].decode("latin-1"),)},
        record_id=None,
        target=header[1].decode(errors="replace"),
        date=_iso(header[3].decode()),
        truncated=None,
        block=block,
    )
    return dataclasses.replace(capture.record(found, place, limits), type="response")


def _bare_ends(block: bytes) -> int:
    """Line ends of an HTTP header that are one byte: a copy that changed "\\r\\n" is shorter than its length by so many."""
    head, _, _ = block.partition(b"\n\n")
    return 0 if b"\r\n" in head else head.count(b"\n") + 2


def _iso(digits: str) -> str:
    """A date as WARC spells it."""
    year, month, day, hour, minute, second = digits[:4], *(digits[at : at + 2] for at in range(4, 14, 2))
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"
