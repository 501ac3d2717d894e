"""Lines that come together are the records that lines come as one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.pipeline.collect import lines
from tokenmill.pipeline.collect.faults import StreamError
from tokenmill.pipeline.collect.parser import frames
from tokenmill.pipeline.collect.parser.frames import BadFrame
from tokenmill.pipeline.collect.records import Limits, Place, PlainLines, Record, document
from tokenmill.pipeline.collect.text import utf8

PIECES = [
    b"\n",
    b"\n",
    b"\r",
    b"\r\n",
    b"",
    b" ",
    b"\t\x0b",
    b"\xe3\x80\x80",
    b"\x1c",
    b"\xef\xbb\xbf",
    b"\xff",
    b"word",
    "é中".encode(),
]
CAP = 12
LIMITS = Limits(document_bytes=CAP)


def made(line: bytes, place: Place) -> Record:
    return document(utf8(line), place, LIMITS)


def stream(parts: list[bytes], *, breaks: bool) -> Iterator[bytes]:
    yield from parts
    if breaks:
        raise StreamError("cut_off", "the stream breaks off", unread_bytes=0, missing=3)


def one_by_one(found: Iterator[Record]) -> list[Record]:
    return [one for record in found for one in (record.documents if isinstance(record, PlainLines) else (record,))]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join), max_size=6), st.integers(1, 9), st.booleans())
def test_lines_that_come_together_are_the_same_records(parts: list[bytes], first: int, breaks: bool) -> None:
    expected = list(lines.records_of(lines.lines(stream(parts, breaks=breaks), CAP, first), "f", first, CAP, made))
    for long_bytes in (3, 1 << 20):
        before, lines.LONG_BYTES = lines.LONG_BYTES, long_bytes
        try:
            found = list(lines.runs_of(stream(parts, breaks=breaks), "f", first, CAP, made))
        finally:
            lines.LONG_BYTES = before
        assert one_by_one(iter(found)) == expected
        for run in found:
            if isinstance(run, PlainLines):
                assert run.count == len(list(run.documents)) > 0


def decoded(record: PlainLines, path: str = "f") -> list[Record]:
    data = frames.encode([record])
    _, head_bytes, _ = frames.HEADER.unpack(data[: frames.HEADER.size])
    rest = memoryview(data)[frames.HEADER.size :]
    return frames.decode(bytes(rest[:head_bytes]), rest[head_bytes:], path=path, most_text_bytes=CAP)


def test_lines_of_a_parser_are_checked() -> None:
    good = PlainLines(path="f", first=3, data="a\n\né b".encode())
    assert decoded(good) == [good]
    for data in (b"\xff", b"", b"\n\n", b" ", b"a\n\t\nb", b"a\r", b"x" * (CAP + 1), "a\n\u3000".encode()):
        with pytest.raises(BadFrame):
            decoded(PlainLines(path="f", first=0, data=data))
    with pytest.raises(BadFrame):
        decoded(good, path="g")
    with pytest.raises(BadFrame):
        decoded(PlainLines(path="f", first=-1, data=b"a"))
