"""A stream of chunks, read record by record: what the readers of web archives share.

Guarantee: `take` and `skip` say how much there was. A header or a line that does not end is bounded. Cost: one copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tokenmill.pipeline.base.errors import RecordError

BEGIN = b"WARC/"
"""How a record of a WARC file begins."""
MOST_HEADER_BYTES = 1 << 18
MOST_ENDS = 16
END_OF_RECORD = re.compile(rb"[\r\n]{0,11}(?:\Z|WARC/)|\r?\n\r?\n")
EMPTY_LINES = re.compile(rb"[\r\n]*")
END_OF_HEADER = re.compile(rb"\r?\n(\r?\n|(?=WARC/))")


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

    def skip_to_line(self, pattern: re.Pattern[bytes], most_bytes: int) -> None:
        """Go to the next line of at most `most_bytes` that is like the pattern, or to the end of the stream."""
        while line := self.line(most_bytes):
            if pattern.fullmatch(line):
                self._held[:0] = line
                self.at -= len(line)
                return

    def between_records(self) -> bool:
        """Skip the empty lines between records. False at the end of the stream."""
        while True:
            empty = EMPTY_LINES.match(self._held)
            self._drop(empty.end() if empty else 0)
            if self._held:
                return True
            if not self._more():
                return False

    def ends_record(self) -> bool:
        """Whether a record may end here: the data end, or an empty line or another record follows.

        A length that is too small ends within the content instead.
        """
        while len(self._held) < MOST_ENDS and self._more():
            pass
        return END_OF_RECORD.match(self._held) is not None

    def line(self, most_bytes: int) -> bytes:
        """The next line with its end, or the first `most_bytes` of it; empty at the end of the stream."""
        while (newline := self._held.find(b"\n", 0, most_bytes)) < 0 and len(self._held) < most_bytes and self._more():
            pass
        return self._drop(newline + 1 if newline >= 0 else most_bytes)

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
