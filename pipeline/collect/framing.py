"""Bytes out of files: compressed frames checked to their ends, lines, and ranges of lines.

Purpose: the layer below every format that is read as a stream. Chunks are bounded, whatever the input claims.
Guarantee: a gzip member or zstd frame that does not end is an error, raised after the bytes before the cut; it never ends
silently. A stream that grows more than `RATIO` times is stopped. A line over its cap is skipped and reported.
Cost: memory of a few chunks and one line. gzip inflates at about 300 MB/s, zstd at about 1 GB/s.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.schema import PREVIEW_BYTES

Codec = Literal["", "gzip", "zstd"]
MAGIC: dict[Codec, bytes] = {"gzip": b"\x1f\x8b\x08", "zstd": b"\x28\xb5\x2f\xfd"}
FRAME_FAULTS = frozenset({"cut_archive", "broken_archive", "bomb"})
"""Reasons that concern compressed data as a whole, not one record in them."""
CHUNK_BYTES = 1 << 18
ZSTD_STEP_BYTES = 2_048
"""Bytes of input per call: zstandard does not bound the output of a call. This many give at most 64 MiB (blocks of 4 bytes for
128 KiB)."""
RATIO = 250
"""Largest growth by decompression. Harmless text compresses less; deflate's own limit is about 1,000."""
FREE_BYTES = 8 << 20
"""Bytes of output that the check of the ratio ignores: short runs may be very regular."""


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

    def at_end(self) -> bool:
        """Whether the file ends here. Zero bytes at the end of a gzip file are padding, as for gzip itself."""
        data = self.take(CHUNK_BYTES)
        while data and self._codec == "gzip" and not data.strip(b"\0"):
            data = self.take(CHUNK_BYTES)
        self.give_back(data)
        return not data

    def frame(self) -> Iterator[bytes]:
        """The content of the frame that begins here, in bounded chunks.

        Raises RecordError: cut_archive if the file ends within the frame, broken_archive, bomb.
        """
        begin = self.offset
        try:
            for chunk in self._inflate() if self._codec == "gzip" else self._unzstd():
                self._produced += len(chunk)
                if self._produced > FREE_BYTES + RATIO * (self.offset - self._begin):
                    raise RecordError("bomb", f"the {self._codec} data at byte {begin} grows more than {RATIO} times")
                yield chunk
        except EOFError as error:
            message = f"the {self._codec} frame that begins at byte {begin} is cut at byte {self.offset}, where the file ends"
            raise RecordError("cut_archive", message) from error

    def _inflate(self) -> Iterator[bytes]:
        stream = zlib.decompressobj(wbits=31)
        data = b""
        while not stream.eof:
            data = stream.unconsumed_tail or self.take(CHUNK_BYTES)
            try:
                chunk = stream.decompress(data, CHUNK_BYTES)
            except zlib.error as error:
                raise RecordError("broken_archive", f"the gzip data before byte {self.offset} is broken ({error})") from error
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
                raise RecordError("broken_archive", f"the zstd data before byte {self.offset} is broken ({error})") from error
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


def line_start(handle: BinaryIO, at: int) -> int:
    """The position of the first line that starts at byte `at` or later; the file's size if there is none."""
    if at == 0:
        return 0
    at -= 1
    for data in between(handle, at, None):
        newline = data.find(b"\n")
        if newline >= 0:
            return at + newline + 1
        at += len(data)
    return at


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line without its newline. If the line is over the cap, `data` is None and `head` holds its beginning."""

    number: int
    data: bytes | None
    head: bytes = b""
    size: int = 0


def lines(parts: Iterator[bytes], cap_bytes: int, first: int = 0) -> Iterator[Line]:
    """The lines of a stream, numbered from `first`. If the stream breaks off within a line, that line is not yielded."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        *ended, rest = part.split(b"\n")
        for piece in ended:
            yield _line(first, held, piece, size + len(piece), cap_bytes)
            first, held, size = first + 1, [], 0
        size += len(rest)
        if size <= cap_bytes:
            held.append(rest)
        elif len(held) != 1 or len(held[0]) != PREVIEW_BYTES:
            held = [b"".join((*held, rest))[:PREVIEW_BYTES]]
    if size:
        yield _line(first, held, b"", size, cap_bytes)


def _line(number: int, held: list[bytes], piece: bytes, size: int, cap_bytes: int) -> Line:
    data = b"".join((*held, piece)) if held else piece
    if size > cap_bytes:
        return Line(number=number, data=None, head=data[:PREVIEW_BYTES], size=size)
    return Line(number=number, data=data, size=size)
