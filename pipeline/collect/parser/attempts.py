"""Reads a piece of a file with parsers, and goes on after a record that kills them.

Purpose: no input ends a build. A death or an overrun deadline is tried once more, alone, in a fresh parser; the second one
quarantines what was announced last, by name, and the rest of the file is read on.
Guarantee: records before and after the bad one are the same as without it. A piece is given up after `MOST_CONDEMNED` such
records, or when it took `FILE_SECONDS` of CPU more than a piece of its size may, all attempts together; what is left is one
quarantined record that says so. A parser that was killed from outside once leaves no trace.
Cost: the file is read again for each attempt, up to the bad record.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect import readers
from tokenmill.pipeline.collect.listing import InputFile
from tokenmill.pipeline.collect.parser import frames, host
from tokenmill.pipeline.collect.parser.frames import BadFrame, ParserFailed
from tokenmill.pipeline.collect.parser.host import Needed
from tokenmill.pipeline.collect.parser.serve import BATCH_RECORDS
from tokenmill.pipeline.collect.records import (
    FREE_BYTES,
    RATIO,
    ZSTD_WINDOW,
    Document,
    Limits,
    Place,
    PlainLines,
    Record,
    Rejected,
    quarantined,
)
from tokenmill.pipeline.collect.records import RECORD_BYTES as ASSUMED_BYTES

MOST_CONDEMNED = 8
"""Records of a piece that may kill two parsers each, before the rest is given up."""
FILE_SECONDS = 40.0
"""CPU seconds that a piece may take beyond `SECONDS_PER_BYTE`. With the last record's deadline, a small file takes a minute."""
SECONDS_PER_BYTE = 1e-6
"""Of the input, and of what parsers send: three times what compressed pages of the web take, ten times JSON Lines."""
MOST_PLACES = 1_000
RECORD_BYTES = 100
"""Bytes that a record counts beside its content, in what a parser may send. A file in a frame may hold bodies with a coding."""
TRAFILATURA_BYTES = 512 << 20
"""Memory that a parser with trafilatura may take more: a page of 2 MB with 100,000 links takes 500 MB."""
TRAFILATURA_SECONDS_PER_BYTE = 1e-5
"""In place of `SECONDS_PER_BYTE`: it takes ten times as long as the other extractors."""
SCORES_BYTES = 16 << 20
"""Bytes that a frame may have more where block scores are sent: a page of `html.blocks.MOST_BLOCKS` has 7 MB of them."""
ARROW_BYTES = 1 << 30
"""Memory that a parser of an Arrow file may take more, at most: a batch of records is read whole."""
REST = "rest"
ONE_RECORD = ("text", "html", "python", "description")
"""Kinds of files that are one record each."""
Range = tuple[int, int, int]
"""Begin, end and before of a `plan.Piece`."""


@dataclass(kw_only=True)
class _Course:
    """How far the reading of a piece has come, over all attempts."""

    size_bytes: int
    seconds_per_byte: float = SECONDS_PER_BYTE
    delivered: int = 0
    announced: str = ""
    """The place that was announced last and has shown no record yet."""
    read_bytes: int = 0
    """Bytes of text that were delivered."""
    alone: bool = False
    suspect: int = 0
    """Records that were delivered when a parser died for the first time."""
    condemned: dict[str, str] = field(default_factory=dict)
    lost_seconds: float = 0.0
    """The overtime of the attempts before this one."""
    cpu_seconds: float = 0.0
    sent_bytes: int = 0
    """What this attempt's parser took and sent."""

    def begin(self, name: str) -> None:
        """Begin an attempt at the file `name`."""
        self.lost_seconds, self.cpu_seconds, self.sent_bytes = self.overtime, 0.0, 0
        self.announced = name

    @property
    def overtime(self) -> float:
        """CPU seconds of all attempts beyond what their bytes explain."""
        return self.lost_seconds + max(0.0, self.cpu_seconds - self.seconds_per_byte * (self.size_bytes + self.sent_bytes))


def records(file: InputFile, piece: Range, source: Mapping[str, Any], limits: Limits) -> Generator[Record, None, None]:
    """Every record of a piece of a file. `source`: the settings of its source. Raises InputError, StaleInput."""
    slow = source.get("extract") == "trafilatura"
    course = _Course(size_bytes=_size(file, piece), seconds_per_byte=TRAFILATURA_SECONDS_PER_BYTE if slow else SECONDS_PER_BYTE)
    while True:
        try:
            yield from _attempt(file, piece, source, limits, course)
            return
        except ParserFailed as error:
            course.cpu_seconds += error.cpu_seconds
            if course.overtime > FILE_SECONDS:
                yield _rest(file, piece, course, error)
                return
            if not course.alone or course.delivered > course.suspect + BATCH_RECORDS:
                # What killed the parser lies within one batch of what was delivered. Another death later is a first one.
                course.alone, course.suspect = True, course.delivered
                continue
            given_up = not course.announced or course.announced in course.condemned or course.announced == file.name
            if given_up or len(course.condemned) >= MOST_CONDEMNED:
                yield _rest(file, piece, course, error)
                return
            course.condemned[course.announced] = error.reason
            course.alone = False


def row_groups(file: InputFile, text_field: str) -> list[tuple[int, int]] | None:
    """See `tables.row_groups`. None also if two parsers died of the footer; reading the file will say so."""
    limits = Limits(document_bytes=0)
    for alone in (False, True):
        request = _request(file, (0, 0, 0), {"text_field": text_field}, limits, alone=alone) | {"ask": "row_groups"}
        with (
            contextlib.suppress(ParserFailed),
            file.open() as handle,
            contextlib.closing(host.answers(_needed(file, {}, limits), request, handle.fileno(), most_bytes=0)) as answers,
        ):
            values = [frames.value_of(answer.head) for answer in itertools.islice(answers, 2) if answer.kind == frames.VALUE]
            return _checked(values)
    return None


def _checked(values: list[Any]) -> list[tuple[int, int]] | None:
    if len(values) != 1:
        raise frames.BadFrame("no row groups, or too many")
    groups = values[0]
    if groups is None:
        return None
    if not isinstance(groups, list) or not all(
        isinstance(group, list) and len(group) == 2 and all(type(value) is int and value >= 0 for value in group)
        for group in groups
    ):
        raise frames.BadFrame("no row groups")
    return [(rows, size) for rows, size in groups]


def _attempt(file: InputFile, piece: Range, source: Mapping[str, Any], limits: Limits, course: _Course) -> Iterator[Record]:
    """The records that no earlier attempt has delivered."""
    request = _request(file, piece, source, limits, alone=course.alone)
    request["condemned"] = course.condemned
    seen = places = 0
    course.begin(file.name)
    most_bytes = 2 * limits.record_bytes + (SCORES_BYTES if source.get("extract_scores") else 0)
    with (
        file.open() as handle,
        contextlib.closing(
            host.answers(_needed(file, source, limits), request, handle.fileno(), most_bytes=most_bytes)
        ) as answers,
    ):
        for answer in answers:
            course.cpu_seconds += answer.cpu_seconds
            if course.overtime > FILE_SECONDS:
                raise ParserFailed(
                    "deadline", f"the parser took {course.cpu_seconds:.0f} s of CPU, too much for the file's size"
                )
            if answer.kind == frames.PLACE:
                course.announced = str(frames.value_of(answer.head))
                places += 1
                if places > MOST_PLACES:
                    raise BadFrame(f"{MOST_PLACES} places without a record")
            elif answer.kind == frames.RECORDS:
                batch = frames.decode(answer.head, answer.blob, path=file.name, most_text_bytes=limits.document_bytes)
                course.announced, places = "", 0
                course.sent_bytes += len(batch) * RECORD_BYTES + len(answer.head) + len(answer.blob)
                # Lines come together only at the first attempt, before which nothing was delivered.
                if course.sent_bytes > FREE_BYTES + RATIO * RATIO * max(1, file.size_bytes):
                    raise BadFrame("more than a file of this size can hold")
                for record in batch:
                    seen += record.count if isinstance(record, PlainLines) else 1
                    if seen <= course.delivered:
                        continue
                    course.delivered = seen
                    if isinstance(record, Document):
                        course.read_bytes += len(record.text)
                    elif isinstance(record, PlainLines):
                        course.read_bytes += len(record.data)
                    elif isinstance(record, Rejected):
                        course.read_bytes += record.text_bytes
                    yield record


def _rest(file: InputFile, piece: Range, course: _Course, error: ParserFailed) -> Record:
    """The record that stands for all that is not read. Nobody knows how many records that is, so they are estimated."""
    whole = not course.delivered
    place = Place(path=file.name, record=None if whole else REST)
    unread = max(0, course.size_bytes - course.read_bytes)
    return quarantined(
        place,
        RecordError(error.reason, f"{'the file' if whole else 'the rest'} is not read: {error}"),
        unread_bytes=unread,
        estimate=0 if file.kind in ONE_RECORD else max(1, unread // ASSUMED_BYTES),
    )


def _size(file: InputFile, piece: Range) -> int:
    """Bytes of a piece, at most. Those of a Parquet file are ranges of row groups."""
    begin, end, _ = piece
    return file.size_bytes if file.kind == "parquet" else min(end, file.size_bytes) - begin


def _needed(file: InputFile, source: Mapping[str, Any], limits: Limits) -> Needed:
    memory_bytes = host.MEMORY_BYTES + limits.record_bytes
    window = source.get("zstd_window", ZSTD_WINDOW)
    if file.codec == "zstd" and window > ZSTD_WINDOW:
        memory_bytes += 1 << window
    if file.kind == "arrow":
        memory_bytes += min(file.size_bytes, ARROW_BYTES)
    libraries = readers.needs(file.kind, source.get("extract"))
    if libraries == "trafilatura":
        memory_bytes += TRAFILATURA_BYTES
    return Needed(libraries=libraries, memory_bytes=memory_bytes, entry=host.ENTRY)


def _request(file: InputFile, piece: Range, source: Mapping[str, Any], limits: Limits, *, alone: bool) -> dict[str, Any]:
    return {
        "ask": "records",
        "kind": file.kind,
        "codec": file.codec,
        "name": file.name,
        "piece": piece,
        "source": dict(source),
        "document_bytes": limits.document_bytes,
        "condemned": {},
        "alone": alone,
    }
