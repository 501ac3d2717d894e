"""Web archives: WARC files, uncompressed or with gzip members or zstd frames.

Purpose: responses and resources with HTML or plain text become documents, and so do conversions with plain text (WET). Records
of other types are counted by their type.
Guarantee: records and frames are read to their ends. After a broken record, reading continues at the next record: the next
line that starts with "WARC/", which also ends a truncated header, or the next frame whose content starts so. A frame that
does not start so goes on with the content of the frame before, as in files that were compressed in pieces of equal size. So
a range of a compressed file reads the frames that begin in it with a record, and what goes on after them; every frame is in
one range.
Source: ISO 28500:2017, with names of fields in any case. Cost: about 30 MB of HTML per second; memory of one record.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from io import BufferedReader

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import capture, headers
from tokenmill.pipeline.collect.bytestream import BEGIN, ByteStream
from tokenmill.pipeline.collect.capture import Capture
from tokenmill.pipeline.collect.faults import StreamError
from tokenmill.pipeline.collect.framing import MAGIC, Codec, Feed, between
from tokenmill.pipeline.collect.records import (
    OTHER_TYPE,
    RECORD_TYPES,
    Limits,
    Place,
    Record,
    Rejected,
    Skipped,
    quarantined,
    too_long,
)

LENGTH = re.compile(r"\d{1,18}", re.ASCII)
HTTP = "application/http"
OFFERED = RECORD_TYPES[:3]


def read(
    handle: BufferedReader, codec: Codec, path: str, begin: int, end: int, limits: Limits, within: str = ""
) -> Iterator[Record]:
    """The records of the frames that begin in the bytes [begin, end) of a file. An uncompressed file is read whole.

    `within`: the name of the file, if it stands within the file at `path`.
    """
    at = f"{within}:" if within else ""
    # Some tools write compressed records into files named .warc.
    codec = codec or next((codec for codec, magic in MAGIC.items() if handle.peek(8).startswith(magic)), "")
    if not codec:
        yield from _records(ByteStream(between(handle, 0, None)), path, at, None, limits)
        return
    feed = Feed(handle, codec, zstd_window=limits.zstd_window)
    size = feed.size_bytes()
    feed.restart(begin)
    found = feed.find(begin, end, BEGIN) if begin else not feed.at_end()
    first, read = feed.offset, 0
    while found:
        frame, before = feed.offset, read
        try:
            for record in _records(ByteStream(_frames(feed)), path, at, frame, limits):
                read += not isinstance(record, Skipped)
                yield record
        except StreamError as error:
            frame = feed.begun
            # The damage may hide where the frame ends, so search for the next one, which a later part of the file may read.
            found = feed.find(frame + 1, size, BEGIN)
            stop = feed.offset if found else size
            # The position of the fault is known, but records of a frame are lost with it from its begin if none was read.
            fault = frame if read == before else size - error.unread_bytes
            if error.reason == "cut_archive" and not found:
                # The file is cut. Other parts of it hold as many records per byte as this one.
                estimate = error.estimate(_at_rate(read, fault - first, fault) or read)
            else:
                estimate = max(1, _at_rate(read, fault - first, stop - fault))
            lost_bytes = max(0, stop - fault)
            yield quarantined(
                Place(path=path, record=f"{at}{frame}" if at else frame), error, unread_bytes=lost_bytes, estimate=estimate
            )
            found = found and feed.offset < end
        else:
            # What begins no record belongs to the part of the file that reads the frame before it.
            found = not feed.at_end() and (feed.offset < end or not _begins_record(feed))


def _frames(feed: Feed) -> Iterator[bytes]:
    """The content of the frame that begins here, and of those after it that go on with it."""
    while True:
        yield from feed.frame()
        if feed.at_end() or not (head := feed.head(len(BEGIN))).readable or head.content.startswith(BEGIN):
            return


def _begins_record(feed: Feed) -> bool:
    return feed.head(len(BEGIN)).content.startswith(BEGIN)


def _at_rate(read: int, read_bytes: int, lost_bytes: int) -> int:
    """Records in `lost_bytes`, if there are as many in each byte as in those that were read."""
    return round(read * lost_bytes / read_bytes) if read_bytes > 0 else 0


def _records(stream: ByteStream, path: str, at: str, frame: int | None, limits: Limits) -> Iterator[Record]:
    """The records of one frame (`frame`: the byte where it begins) or of an uncompressed file.

    Raises StreamError for a fault of the frame, not of one record. A record is yielded only once the bytes after it were read:
    if a frame holds one record, as it should, the checksum at the frame's end has been compared by then.
    """
    held: Record | None = None
    read = 0
    while stream.between_records():
        if held is not None:
            read += not isinstance(held, Skipped)
            yield held
            held = None
        # A record is named by the byte where it begins, as in CDX indexes. In a frame of several, "+" and its byte follow.
        begin = stream.at
        inner = begin if frame is None else f"{frame}+{begin}" if begin else frame
        place = Place(path=path, record=f"{at}{inner}" if at else inner)
        try:
            held = _record(stream, place, limits)
        except EOFError:
            # A file that is cut may lack as much as it has. A length that is too large takes the records after it.
            reason, least = ("cut_archive", read) if frame is None else ("broken_warc", 0)
            error = RecordError(reason, f"the record is cut: the data end at byte {stream.at}")
            held = _lost(place, error, max(least, _at_rate(read, begin, stream.at - begin)), frame, stream.at - begin)
            break
        except RecordError as error:
            if isinstance(error, StreamError):
                raise
            stream.skip_to_record()
            held = _lost(place, error, _at_rate(read, begin, stream.at - begin), frame, stream.at - begin)
    if held is not None:
        yield held


def _lost(place: Place, error: RecordError, estimate: int, frame: int | None, lost_bytes: int) -> Rejected:
    """A broken record with what was skipped to the next one. In a frame these are bytes of its content, not of the file."""
    more = estimate if estimate > 1 else 0
    return quarantined(place, error, unread_bytes=lost_bytes if frame is None else 0, estimate=more)


def _record(stream: ByteStream, place: Place, limits: Limits) -> Record:
    """The record that begins here. Raises EOFError, RecordError."""
    header = stream.header()
    found = headers.fields(header)
    length = LENGTH.fullmatch(headers.first(found, "content-length") or "")
    if not header.startswith(BEGIN) or length is None:
        raise RecordError("broken_warc", "no WARC record with a Content-Length begins here")
    size = int(length[0])
    kind = (headers.first(found, "warc-type") or "").lower()
    kind = kind if kind in RECORD_TYPES else OTHER_TYPE
    wanted = kind in OFFERED and size <= limits.record_bytes
    block = stream.take(size) if wanted else b""
    if len(block) + (0 if wanted else stream.skip(size)) < size:
        raise EOFError
    if not stream.ends_record():
        raise RecordError("broken_warc", f"the record goes on after the {size} bytes that its Content-Length states")
    if kind not in OFFERED:
        return Skipped(type=kind)
    if not wanted:
        return dataclasses.replace(quarantined(place, too_long(size, limits.record_bytes)), type=kind)
    return dataclasses.replace(capture.record(_capture(found, kind, block), place, limits), type=kind)


def _capture(found: headers.Fields, kind: str, block: bytes) -> Capture:
    target = headers.first(found, "warc-target-uri")
    mime, _ = headers.mime_type(found)
    return Capture(
        is_http=mime == HTTP or (kind == "response" and block.startswith(b"HTTP/")),
        is_conversion=kind == "conversion",
        fields=found,
        record_id=headers.first(found, "warc-record-id"),
        target=target.strip("<> ") if target else None,
        date=headers.first(found, "warc-date"),
        truncated=headers.first(found, "warc-truncated"),
        block=block,
    )
