"""Bytes out of files: compressed frames checked to their ends, and what a fault in them costs.

Purpose: the layer below every format that is read as a stream. Chunks are bounded, whatever the input claims.
Guarantee: a gzip member or zstd frame that does not end is an error, raised after the bytes before the cut; it never ends
silently, and it says how much was not read. A stream that grows more than `RATIO` times is stopped.
Cost: memory of a few chunks. gzip inflates at about 300 MB/s, zstd at about 1 GB/s.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.records import FREE_BYTES, RATIO, RECORD_BYTES, Place, Rejected, quarantined

Codec = Literal["", "gzip", "zstd"]
MAGIC: dict[Codec, bytes] = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd"}
CHUNK_BYTES = 1 << 18
MOST_PADDING = 1 << 16
"""Tapes end in at most so many zero bytes. More are what a disk left of data that it lost."""
ZSTD_STEP_BYTES = 2_048
"""Bytes of input per call: zstandard does not bound the output of a call. This many give at most 64 MiB (blocks of 4 bytes for
128 KiB)."""
DEFLATED = 4.0
"""Bytes of content per compressed byte (estimate)."""


class StreamError(RecordError):
    """A fault after which the rest of a stream cannot be read.

    unread_bytes: bytes of the file that were not read. A file that is cut has none: what is missing is not there.
    missing: about how many times as much is missing as was read.
    """

    def __init__(self, reason: str, message: str, *, unread_bytes: int, missing: float) -> None:
        super().__init__(reason, message)
        self.unread_bytes = unread_bytes
        self.missing = missing

    def estimate(self, read: int) -> int:
        """About how many records are missing, at least 1, if `read` were read before the fault."""
        return max(1, math.ceil(read * self.missing if read else self.unread_bytes * DEFLATED / RECORD_BYTES))


def broken_off(place: Place, error: RecordError, read: int, preview: bytes = b"") -> Rejected:
    """The records of a file from `place` on, lost to a fault after `read` records."""
    if not isinstance(error, StreamError):
        return quarantined(place, error, preview)
    return quarantined(place, error, preview, unread_bytes=error.unread_bytes, estimate=error.estimate(read))


class Feed:
    """The compressed bytes of a file from `offset` on. Frames take bytes from it and give back what they do not need."""

    def __init__(self, handle: BinaryIO, codec: Codec, offset: int = 0) -> None:
        self._handle = handle
        self._codec = codec
        self._rest = b""
        self.restart(offset)

    def restart(self, offset: int) -> None:
        """Go to a byte of the file. The ratio counts from here."""
        self._handle.seek(offset)
        self._rest = b""
        self.offset = self._begin = offset
        self._produced = 0
        self._waiting = 0

    def take(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty at the end of the file."""
        data = self._rest or self._handle.read(CHUNK_BYTES)
        data, self._rest = data[:size], data[size:]
        self.offset += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Return bytes that were taken but belong to the next frame."""
        self._rest = data + self._rest
        self.offset -= len(data)

    def begins_frame(self) -> bool:
        """Whether a frame begins here."""
        magic = MAGIC[self._codec]
        data = self.take(len(magic))
        self.give_back(data)
        return data == magic

    def at_end(self) -> bool:
        """Whether the file ends here. After a frame of gzip, up to `MOST_PADDING` zeros are padding, as for gzip itself."""
        padded = self._codec == "gzip" and self.offset > 0
        data = part = self.take(CHUNK_BYTES)
        while padded and part and not part.strip(b"\0") and len(data) <= MOST_PADDING:
            data += (part := self.take(CHUNK_BYTES))
        self.give_back(data)
        return not data or (padded and len(data) <= MOST_PADDING and not data.strip(b"\0"))

    def frame(self) -> Iterator[bytes]:
        """The content of the frame that begins here, in bounded chunks.

        Raises RecordError: cut_archive if the file ends within the frame, broken_archive, bomb.
        """
        begin = self.offset
        before = self._produced
        try:
            for chunk in self._inflate() if self._codec == "gzip" else self._unzstd():
                self._produced += len(chunk)
                if self._produced > FREE_BYTES + RATIO * (self.offset - self._begin):
                    raise self._stopped("bomb", f"the {self._codec} data at byte {begin} grows more than {RATIO} times")
                yield chunk
        except EOFError as error:
            raise self._cut(begin, self._produced - before) from error

    def _stopped(self, reason: str, message: str) -> StreamError:
        """The error of data that are there but cannot be read: what is missing is estimated by compressed bytes."""
        at = self.offset - self._waiting
        left = max(0, self.size_bytes() - at)
        message = f"{message}; of the file's {self.size_bytes()} bytes {left} are not read"
        return StreamError(reason, message, unread_bytes=left, missing=left / max(1, at - self._begin))

    def _cut(self, begin: int, produced_bytes: int) -> StreamError:
        """The error of a file that ends within the frame at `begin`. Without a size in the frame's header, nobody knows how
        much is missing; as much as was read is assumed.
        """
        message = f"the {self._codec} frame that begins at byte {begin} is cut at byte {self.offset}, where the file ends"
        unread_bytes = 0 if produced_bytes else self.offset - begin
        # The header of a later frame says nothing of the frames that would follow it.
        content_bytes = self._content_bytes(begin) if begin == 0 else None
        if content_bytes is None:
            message = f"{message}; how much is missing is unknown"
            return StreamError("cut_archive", message, unread_bytes=unread_bytes, missing=1.0)
        left = max(0, content_bytes - produced_bytes)
        message = f"{message}; of its {content_bytes} bytes of content {left} are missing"
        return StreamError("cut_archive", message, unread_bytes=unread_bytes, missing=left / max(1, self._produced))

    def _content_bytes(self, begin: int) -> int | None:
        """Bytes of content that the header of the zstd frame at `begin` names; None if it names none."""
        if self._codec != "zstd":
            return None
        import zstandard

        self._handle.seek(begin)
        try:
            found = zstandard.get_frame_parameters(self._handle.read(ZSTD_STEP_BYTES)).content_size
        except zstandard.ZstdError:
            return None
        return None if found == zstandard.CONTENTSIZE_UNKNOWN else int(found)

    def size_bytes(self) -> int:
        """Bytes of the file. The position in it is lost, so call `restart` before reading on."""
        return self._handle.seek(0, os.SEEK_END)

    def _inflate(self) -> Iterator[bytes]:
        stream = zlib.decompressobj(wbits=31)
        data = b""
        while not stream.eof:
            data = stream.unconsumed_tail or self.take(CHUNK_BYTES)
            try:
                chunk = stream.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                self._waiting = len(data)
                message = f"the gzip data before byte {self.offset} is broken ({error})"
                raise self._stopped("broken_archive", message) from error
            self._waiting = len(stream.unconsumed_tail)
            if chunk:
                yield chunk
            elif not data and not stream.eof:
                raise EOFError
        self.give_back(stream.unused_data)

    def _unzstd(self) -> Iterator[bytes]:
        import zstandard

        stream = zstandard.ZstdDecompressor().decompressobj()
        while not stream.eof:
            data = self.take(ZSTD_STEP_BYTES)
            if not data:
                raise EOFError
            try:
                chunk = stream.decompress(data)
            except zstandard.ZstdError as error:
                self._waiting = len(data)
                message = f"the zstd data before byte {self.offset} is broken ({error})"
                raise self._stopped("broken_archive", message) from error
            if chunk:
                yield chunk
        self.give_back(stream.unused_data)

    def find(self, begin: int, end: int, content: bytes) -> bool:
        """Go to the first frame that begins in [begin, end) and whose content starts with `content`. False if there is none."""
        magic = MAGIC[self._codec]
        while begin < end:
            self._handle.seek(begin)
            window = self._handle.read(min(CHUNK_BYTES, end - begin) + len(magic) - 1)
            at = window.find(magic)
            if at < 0:
                begin += max(1, len(window) - len(magic) + 1)
                continue
            self.restart(begin + at)
            begin += at + 1
            if self._starts(content):
                self.restart(begin - 1)
                return True
        return False

    def _starts(self, content: bytes) -> bool:
        head = b""
        try:
            for chunk in self.frame():
                head += chunk
                if len(head) >= len(content):
                    break
        except RecordError:
            return False
        return head.startswith(content)


def chunks(handle: BinaryIO, codec: Codec) -> Iterator[bytes]:
    """The content of a file, all frames end to end. Raises RecordError like `Feed.frame`."""
    if not codec:
        yield from between(handle, 0, None)
        return
    feed = Feed(handle, codec)
    while not feed.at_end():
        yield from feed.frame()


def between(handle: BinaryIO, begin: int, end: int | None) -> Iterator[bytes]:
    """The bytes [begin, end) of a file. end=None: to the end of the file."""
    handle.seek(begin)
    while end is None or begin < end:
        data = handle.read(CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - begin))
        if not data:
            return
        begin += len(data)
        yield data
