"""The stream from a parser to its worker: frames of plain data.

Purpose: records cross from a process that may be taken over by its input to one that must not be.
Guarantee: a frame is JSON and bytes; nothing in it is a program or an object. `decode` gives records and nothing else: every
length, type and text is checked, and a document names no other file than the one that was asked for. Anything else raises
`BadFrame`.
Cost: about 2 us a record and 1 ms a megabyte, in both processes together.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.collect.records import MOST_ROWS, Document, PlainLines, Record, Rejected, Skipped

HEADER = struct.Struct("<cIQ")
"""The kind of a frame, then the bytes of its JSON and of what follows it."""
HELLO, RECORDS, VALUE, PLACE, BEAT, END, FAULT = b"h", b"r", b"v", b"p", b"b", b"e", b"f"
MOST_JSON_BYTES = 64 << 20
CLASSES: tuple[type[Document] | type[Rejected] | type[Skipped] | type[PlainLines], ...] = (
    Document,
    Rejected,
    Skipped,
    PlainLines,
)


class ParserFailed(TokenmillError):
    """A parser gave no answer. `reason`: parser_died or deadline; `cpu_seconds`: what it took since it last showed progress."""

    def __init__(self, reason: str, message: str, cpu_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.cpu_seconds = cpu_seconds


class BadFrame(ParserFailed):
    """A parser sent what no parser of ours sends."""

    def __init__(self, message: str) -> None:
        super().__init__("parser_died", f"the parser sent a malformed frame ({message})")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Columns:
    """How the records of one class travel: a column of JSON for each field; of bytes, the lengths."""

    names: tuple[str, ...]
    types: tuple[frozenset[type], ...]
    values: Callable[[Any], tuple[Any, ...]]

    @staticmethod
    def of(kind: type) -> _Columns:
        hints = get_type_hints(kind)
        names = tuple(field.name for field in dataclasses.fields(kind))
        types = tuple(_types(hints[name]) for name in names)
        # Of one name, `attrgetter` gives the value alone.
        values = attrgetter(*names) if len(names) > 1 else lambda record: (getattr(record, names[0]),)
        return _Columns(names=names, types=types, values=values)


def _types(hint: Any) -> frozenset[type]:
    """The types that a field may have in JSON; of bytes and of tuples of strings, these two themselves."""
    if get_origin(hint) is tuple:
        return frozenset({tuple})
    return frozenset(get_args(hint) or (hint,))


COLUMNS = tuple(_Columns.of(kind) for kind in CLASSES)


def frame(kind: bytes, value: Any = None, blobs: Sequence[bytes] = ()) -> bytes:
    """One frame. `value` is JSON; strings may hold half a surrogate pair."""
    head = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")
    return b"".join((HEADER.pack(kind, len(head), sum(map(len, blobs))), head, *blobs))


def encode(records: Sequence[Record]) -> bytes:
    """The frame of a batch of records."""
    order = [CLASSES.index(type(record)) for record in records]
    columns: list[list[Any]] = []
    blobs: list[bytes] = []
    for number, shape in enumerate(COLUMNS):
        rows = [shape.values(record) for record, kind in zip(records, order, strict=True) if kind == number]
        for column, types in zip(zip(*rows, strict=True), shape.types, strict=False):
            if bytes in types:
                blobs += column
                columns.append([len(value) for value in column])
            else:
                columns.append(list(column))
    return frame(RECORDS, ["".join(map(str, order)), columns], blobs)


def value_of(head: bytes) -> Any:
    """The JSON of a frame. Raises BadFrame."""
    try:
        return json.loads(head.decode(errors="surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"no JSON ({type(error).__name__})") from error


def decode(head: bytes, blob: memoryview, *, path: str, most_text_bytes: int) -> list[Record]:
    """The records of a frame. `path`: the file that they may come from. Raises BadFrame."""
    value = value_of(head)
    _check(isinstance(value, list) and len(value) == 2, "no batch")
    order, columns = value
    _check(isinstance(order, str) and isinstance(columns, list) and not order.strip("0123"), "no batch")
    found: list[list[Record]] = []
    at = 0
    for number, (kind, shape) in enumerate(zip(CLASSES, COLUMNS, strict=True)):
        rows = order.count(str(number))
        if not rows:
            found.append([])
            continue
        taken, columns = columns[: len(shape.names)], columns[len(shape.names) :]
        _check(len(taken) == len(shape.names), "a column is missing")
        fields: dict[str, Sequence[Any]] = {}
        for name, types, column in zip(shape.names, shape.types, taken, strict=True):
            _check(isinstance(column, list) and len(column) == rows, f"the column {name} is not of {rows} rows")
            sent = {int} if bytes in types else {list} if tuple in types else types
            _check(set(map(type, column)) <= sent, f"the column {name} holds other types")
            if bytes in types:
                _check(min(column) >= 0 and at + sum(column) <= len(blob), f"the lengths of {name} exceed the frame")
                column, at = _cut(blob, at, column)
            elif tuple in types:
                _check(all(type(value) is str for values in column for value in values), f"{name} holds no strings")
                _check_strings([value for values in column for value in values], name)
                column = [tuple(values) for values in column]
            elif str in types:
                _check_strings(column, name)
            elif int in types:
                _check(min(column) >= 0 and max(column) <= MOST_ROWS, f"the numbers of {name} are out of bounds")
            fields[name] = column
        if kind is Document:
            _check_documents(fields, path, most_text_bytes)
        elif kind is PlainLines:
            _check_lines(fields, path, most_text_bytes)
        made = (kind(**dict(zip(fields, row, strict=True))) for row in zip(*fields.values(), strict=True))
        found.append(list(made))
    _check(at == len(blob) and not columns, "more than its records")
    rows_of = [iter(records) for records in found]
    return [next(rows_of[int(kind)]) for kind in order]


def _cut(blob: memoryview, at: int, lengths: Iterable[int]) -> tuple[list[bytes], int]:
    parts = []
    for length in lengths:
        parts.append(bytes(blob[at : at + length]))
        at += length
    return parts, at


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise BadFrame(what)


def _check_strings(column: Sequence[str | None], name: str) -> None:
    try:
        "".join(value for value in column if value is not None).encode()
    except UnicodeEncodeError as error:
        raise BadFrame(f"the column {name} holds half of a surrogate pair") from error


def _check_lines(fields: dict[str, Sequence[Any]], path: str, most_text_bytes: int) -> None:
    _check(set(fields["path"]) == {path}, "lines of another file")
    for data in fields["data"]:
        _check(max(map(len, data.split(b"\n"))) <= most_text_bytes, "a line is too long")
        try:
            texts = data.decode().split("\n")
        except UnicodeDecodeError as error:
            raise BadFrame("a line is malformed") from error
        _check(any(texts) and "\r" not in data.decode() and not any(map(str.isspace, texts)), "a line is blank or holds an end")


def _check_documents(fields: dict[str, Sequence[Any]], path: str, most_text_bytes: int) -> None:
    texts = fields["text"]
    _check(max(map(len, texts)) <= most_text_bytes and min(map(len, texts)) > 0, "a text is too long, or empty")
    try:
        for text in texts:
            text.decode()
        about = json.loads(f"[{','.join(fields['metadata'])}]")
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"a text or its metadata are malformed ({type(error).__name__})") from error
    # Parsers do without NumPy where they can; they encode.
    from tokenmill.pipeline.collect.html.candidates import unpacked

    try:
        for scores in filter(None, fields["scores"]):
            unpacked(scores)
    except ValueError as error:
        raise BadFrame(str(error)) from error
    named = all(isinstance(one, dict) and one.get("path") == path for one in about)
    _check(len(about) == len(texts) and named, "metadata of another file")
