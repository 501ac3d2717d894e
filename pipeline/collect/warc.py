"""Web archives: WARC files, uncompressed or with gzip members or zstd frames.

Purpose: HTTP responses with HTML or plain text become documents, and so do conversion records with plain text (WET). Other
record types are skipped.
Guarantee: records and frames are read to their ends. After a broken record, reading continues at the next record: the next
line that starts with "WARC/", which also ends a truncated header, or the next frame whose content starts so. Since both are
searched for, a range of a compressed file reads the frames that begin in it, and every frame is in one range.
Cost: about 30 MB of HTML per second; memory of one record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BufferedReader

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import http
from tokenmill.pipeline.collect.framing import MAGIC, Codec, Feed, StreamError, between
from tokenmill.pipeline.collect.html.encoding import decode, is_binary
from tokenmill.pipeline.collect.html.main import main_text
from tokenmill.pipeline.collect.records import Limits, Place, Record, Rejected, document, dropped, quarantined, too_long

BEGIN = b"WARC/"
MOST_HEADER_BYTES = 1 << 18
EMPTY_LINES = re.compile(rb"[\r\n]*")
END_OF_HEADER = re.compile(rb"\r?\n(\r?\n|(?=WARC/))")
TYPE = re.compile(rb"^WARC-Type[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
LENGTH = re.compile(rb"^Content-Length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
OFFERED = (b"response", b"conversion")
HTML = ("text/html", "application/xhtml+xml")
LOOKS_LIKE_HTML = re.compile(rb"\s*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)


class ByteStream:
    """A stream of chunks, read record by record. `at`: the number of bytes read so far."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        # The front of a bytearray can be removed without copying the rest.
        self._held = bytearray()
        self.at = 0

    def _more(self) -> bool:
        data = next(self._chunks, b"")
        self._held += data
        return bool(data)

    def _drop(self, size: int) -> bytes:
        data = bytes(self._held[:size])
        del self._held[:size]
        self.at += len(data)
        return data

    def take(self, size: int) -> bytes:
        """The next `size` bytes; fewer if the stream ends."""
        parts = [self._drop(size)]
        taken = len(parts[0])
        while taken < size and self._more():
            parts.append(self._drop(size - taken))
            taken += len(parts[-1])
        return b"".join(parts)

    def skip(self, size: int) -> int:
        """Skip `size` bytes. Returns how many there were."""
        left = size - len(self._drop(size))
        while left and self._more():
            left -= len(self._drop(left))
        return size - left

    def skip_to_record(self) -> None:
        """Go to the next line that starts with "WARC/", or to the end of the stream."""
        while True:
            while len(self._held) < len(BEGIN) and self._more():
                pass
            if not self._held or self._held.startswith(BEGIN):
                return
            while (newline := self._held.find(b"\n")) < 0:
                self._drop(len(self._held))
                if not self._more():
                    return
            self._drop(newline + 1)

    def between_records(self) -> bool:
        """Skip the empty lines between records. False at the end of the stream."""
        while True:
            empty = EMPTY_LINES.match(self._held)
            self._drop(empty.end() if empty else 0)
            if self._held:
                return True
            if not self._more():
                return False

    def header(self) -> bytes:
        """The lines up to and including the first empty one. Raises EOFError, RecordError (broken_warc)."""
        searched = 0
        while not (end := END_OF_HEADER.search(self._held, searched)):
            if len(self._held) > MOST_HEADER_BYTES:
                self._drop(self._held.find(b"\n") + 1 or len(self._held))
                raise RecordError("broken_warc", f"a record header of more than {MOST_HEADER_BYTES} bytes")
            # The end of a header may cross two chunks.
            searched = max(0, len(self._held) - len(BEGIN) - 2)
            if not self._more():
                raise EOFError
        # A match refers to the bytes it was made on, so it is used before they are removed.
        complete = bool(end[1])
        header = self._drop(end.end())
        if not complete:
            raise RecordError("broken_warc", "another record begins before the header of this one ends")
        return header


def read(handle: BufferedReader, codec: Codec, path: str, begin: int, end: int, limits: Limits) -> Iterator[Record]:
    """The records of the frames that begin in the bytes [begin, end) of a file. An uncompressed file is read whole."""
    # Some tools write compressed records into files named .warc.
    codec = codec or next((codec for codec, magic in MAGIC.items() if handle.peek(4).startswith(magic)), "")
    if not codec:
        yield from _records(ByteStream(between(handle, 0, None)), path, None, limits)
        return
    feed = Feed(handle, codec)
    size = feed.size_bytes()
    feed.restart(begin)
    found = feed.find(begin, end, BEGIN) if begin else not feed.at_end()
    first, read = feed.offset, 0
    while found:
        frame, before = feed.offset, read
        try:
            for record in _records(ByteStream(feed.frame()), path, frame, limits):
                read += 1
                yield record
        except StreamError as error:
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
            yield quarantined(Place(path=path, record=frame), error, unread_bytes=lost_bytes, estimate=estimate)
            found = found and feed.offset < end
        else:
            # What is no frame belongs to the part of the file that reads the frame before it.
            found = not feed.at_end() and (feed.offset < end or not feed.begins_frame())


def _at_rate(read: int, read_bytes: int, lost_bytes: int) -> int:
    """Records in `lost_bytes`, if there are as many in each byte as in those that were read."""
    return round(read * lost_bytes / read_bytes) if read_bytes > 0 else 0


def _records(stream: ByteStream, path: str, frame: int | None, limits: Limits) -> Iterator[Record]:
    """The records of one frame (`frame`: the byte where it begins) or of an uncompressed file.

    Raises StreamError for a fault of the frame, not of one record. A record is yielded only once the bytes after it were read:
    if a frame holds one record, as it should, the checksum at the frame's end has been compared by then.
    """
    held: Record | None = None
    read = 0
    while stream.between_records():
        if held is not None:
            read += 1
            yield held
            held = None
        # A record is named by the byte where it begins, as in CDX indexes. In a frame of several, "+" and its byte follow.
        begin = stream.at
        inner = f"+{begin}" if begin else ""
        place = Place(path=path, record=begin if frame is None else f"{frame}{inner}" if inner else frame)
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


def _record(stream: ByteStream, place: Place, limits: Limits) -> Record | None:
    """The record that begins here; None if its type is skipped. Raises EOFError, RecordError."""
    header = stream.header()
    kind, length = TYPE.search(header), LENGTH.search(header)
    if not header.startswith(BEGIN) or length is None:
        raise RecordError("broken_warc", "no WARC record with a Content-Length begins here")
    size = int(length[1])
    offered = kind is not None and kind[1].lower() in OFFERED
    fits = size <= limits.record_bytes
    block = stream.take(size) if offered and fits else b""
    if len(block) + (0 if offered and fits else stream.skip(size)) < size:
        raise EOFError
    if not offered:
        return None
    try:
        if not fits:
            raise too_long(size, limits.record_bytes)
        limits.begin(place)
        found = http.parse(header + block, limits.record_bytes)
        limits.growth.read(size)
        limits.growth.produced(len(found.body))
        return _document(found, place, limits)
    except RecordError as error:
        return quarantined(place, error, block)


def _document(found: http.Resource, place: Place, limits: Limits) -> Record:
    """Raises RecordError (hostile_html)."""
    if found.status is None and not found.conversion:
        return dropped(place, "content_type", "no HTTP response", found.body)
    if found.status is not None and not 200 <= found.status < 300:
        return dropped(place, "http_status", f"status {found.status}", found.body)
    mime = found.mime or ("text/html" if LOOKS_LIKE_HTML.match(found.body) else "")
    if mime not in HTML and mime != "text/plain":
        return dropped(place, "content_type", f"type {mime or 'unknown'!r}", found.body)
    if is_binary(found.body, found.charset):
        return dropped(place, "content_type", f"type {mime!r}, but the bytes are binary", found.body)
    text, encoding = decode(found.body, found.charset, meta=mime in HTML)
    if mime in HTML:
        text = main_text(text, limits.extract)
    about = {"mime": mime, "encoding": encoding, "date": found.date, "truncated": found.truncated}
    return document(text, place, limits, identity=found.record_id, url=found.target, about=about)
