"""Files with one record per line.

Guarantee: one broken line is one quarantined record; its neighbours are untouched. Blank lines are not records.
Cost: memory of one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.framing import Codec, between, chunks, line_start, lines
from tokenmill.pipeline.collect.records import Place, Record, quarantined, too_long


def records(
    handle: BinaryIO,
    codec: Codec,
    path: str,
    begin: int,
    end: int,
    before: int,
    cap_bytes: int,
    make: Callable[[bytes, Place], Record],
) -> Iterator[Record]:
    """The records of a file, numbered by line. Of an uncompressed file: those whose lines start in the bytes [begin, end).

    `before`: the number of newlines before `begin`. `make` gets a line of at most `cap_bytes`, without its newline; it may
    raise RecordError.
    """
    if codec:
        found = lines(chunks(handle, codec), cap_bytes)
    else:
        start = line_start(handle, begin)
        # If a line crosses `begin`, its newline lies between `begin` and `start`.
        found = lines(between(handle, start, line_start(handle, end)), cap_bytes, before + (start > begin))
    number = before - 1
    try:
        for line in found:
            number = line.number
            place = Place(path=path, record=number)
            if line.data is None:
                yield quarantined(place, too_long(line.size, cap_bytes), line.head)
            elif line.data.strip():
                yield _made(line.data, place, make)
    except RecordError as error:
        yield quarantined(Place(path=path, record=number + 1), error)


def _made(line: bytes, place: Place, make: Callable[[bytes, Place], Record]) -> Record:
    try:
        return make(line, place)
    except RecordError as error:
        return quarantined(place, error, line)
