"""Bytes out of files: compressed frames checked to their ends, and what a fault in them costs.

Purpose: the layer below every format that is read as a stream. Chunks are bounded, whatever the input claims.
Guarantee: a gzip member or zstd frame that does not end is an error, raised after the bytes before the cut; it never ends
silently, and it says how much was not read. A stream that grows more than `RATIO` times is stopped.
Cost: memory of a few chunks, and of a zstd frame's window. gzip inflates at about 300 MB/s, zstd at about 1 GB/s, xz at about
100 MB/s, bz2 at about 30 MB/s.
"""

from __future__ import annotations

import bz2
import lzma
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.faults import StreamError
from tokenmill.pipeline.collect.records import FREE_BYTES, RATIO, ZSTD_WINDOW

Codec = Literal["", "gzip", "zstd", "bz2", "xz"]
MAGIC: dict[Codec, bytes] = {
    "gzip": b"\x1f\x8b\x08",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
}
CHUNK_BYTES = 1 << 18
MOST_PADDING = 1 << 16
"""Tapes end in at most so many zero bytes. More are what a disk left of data that it lost."""
ZSTD_STEP_BYTES = 2_048
"""Bytes of input per call: zstandard does not bound the output of a call. This many give at most 64 MiB (blocks of 4 bytes for
128 KiB)."""
XZ_MEMORY_BYTES = 192 << 20
"""What unpacking xz may take. `xz -9` needs 65 MiB."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """The first bytes of a frame's content. `readable`: whether a frame begins there, and its content can be read so far."""

    content: bytes = b""
    readable: bool = False


class Feed:
    """The compressed bytes of a file from `offset` on. Frames take bytes from it and give back what they do not need.

    `zstd_window`: the longest window of zstd frames that is read, as a logarithm to base 2. `begun`: the byte where the frame
    begins that was read last.
    """

    def __init__(self, handle: BinaryIO, codec: Codec, offset: int = 0, zstd_window: int = ZSTD_WINDOW) -> None:
        self._handle = handle
        self._codec = codec
        self._zstd_window = zstd_window
        self._rest = b""
        self.restart(offset)

    def restart(self, offset: int) -> None:
        """Go to a byte of the file. The ratio counts from here."""
        self._handle.seek(offset)
        self._rest = b""
        self.offset = self._begin = self.begun = offset
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
        """Whether the file ends here. After a frame of gzip or xz, up to `MOST_PADDING` zeros are padding, as for these."""
        padded = self._codec in ("gzip", "xz") and self.offset > 0
        data = part = self.take(CHUNK_BYTES)
        while padded and part and not part.strip(b"\0") and len(data) <= MOST_PADDING:
            data += (part := self.take(CHUNK_BYTES))
        self.give_back(data)
        return not data or (padded and len(data) <= MOST_PADDING and not data.strip(b"\0"))

    def frame(self) -> Iterator[bytes]:
        """The content of the frame that begins here, in bounded chunks.

        Raises RecordError: cut_archive if the file ends within the frame, broken_archive, bomb.
        """
        begin = self.begun = self.offset
        before = self._produced
        try:
            for chunk in self._content():
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

    def _content(self) -> Iterator[bytes]:
        if self._codec == "gzip":
            return self._inflate()
        if self._codec == "zstd":
            return self._unzstd()
        return self._unpack()

    def _unpack(self) -> Iterator[bytes]:
        """Of bz2 and xz."""
        stream: bz2.BZ2Decompressor | lzma.LZMADecompressor
        if self._codec == "bz2":
            stream = bz2.BZ2Decompressor()
        else:
            stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
        while not stream.eof:
            data = self.take(CHUNK_BYTES) if stream.needs_input else b""
            if stream.needs_input and not data:
                raise EOFError
            try:
                chunk = stream.decompress(data, CHUNK_BYTES)
            except (OSError, ValueError, lzma.LZMAError) as error:
                message = f"the {self._codec} data before byte {self.offset} is broken ({error})"
                raise self._stopped("broken_archive", message) from error
            if chunk:
                yield chunk
        self.give_back(stream.unused_data)

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

        begin = self.offset
        stream = zstandard.ZstdDecompressor(max_window_size=1 << self._zstd_window).decompressobj()
        while not stream.eof:
            data = self.take(ZSTD_STEP_BYTES)
            if not data:
                raise EOFError
            if self.offset - len(data) == begin:
                self._check_window(begin, data)
            try:
                chunk = stream.decompress(data)
            except zstandard.ZstdError as error:
                self._waiting = len(data)
                message = f"the zstd data before byte {self.offset} is broken ({error})"
                raise self._stopped("broken_archive", message) from error
            if chunk:
                yield chunk
        self.give_back(stream.unused_data)

    def _check_window(self, begin: int, data: bytes) -> None:
        """Refuse a frame with a window that is too long. `data`: its first bytes; those without a header fail later."""
        import zstandard

        try:
            found = zstandard.get_frame_parameters(data)
        except zstandard.ZstdError:
            return
        # A window is never longer than the content, where the header states that.
        needed = max(0, int(found.window_size) - 1).bit_length()
        if needed > self._zstd_window:
            message = (
                f"the zstd frame at byte {begin} has a window of {found.window_size:,} bytes, as zstd --long={needed} makes; "
                f"to read it, set zstd_window = {needed} in the source (each worker may then take so much more memory)"
            )
            raise self._stopped("long_window", message)

    def head(self, size: int) -> Head:
        """The first `size` bytes of the content of the frame that begins here. Nothing moves."""
        if not self.begins_frame():
            return Head()
        state = self._rest, self.offset, self.begun, self._produced, self._waiting
        at = self._handle.tell()
        try:
            return Head(content=self._first(size), readable=True)
        except RecordError:
            return Head()
        finally:
            self._handle.seek(at)
            self._rest, self.offset, self.begun, self._produced, self._waiting = state

    def _first(self, size: int) -> bytes:
        """Raises RecordError."""
        content = b""
        for chunk in self.frame():
            content += chunk
            if len(content) >= size:
                break
        return content[:size]

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
        try:
            return self._first(len(content)) == content
        except RecordError:
            return False


def chunks(handle: BinaryIO, codec: Codec, zstd_window: int = ZSTD_WINDOW) -> Iterator[bytes]:
    """The content of a file, all frames end to end. Raises RecordError like `Feed.frame`."""
    if not codec:
        yield from between(handle, 0, None)
        return
    feed = Feed(handle, codec, zstd_window=zstd_window)
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
