"""Columns of Arrow tables as Python values: the text as bytes, and what fits into the metadata of documents.

Purpose: a table may hold lists, objects, times and bytes beside its text. What JSON can hold is read; what it cannot is named
by column, so that it is counted.
Guarantee: a value that cannot be converted costs neither its row nor its neighbours. Lists and objects that are large on
average are not read at all. Cost: memory of one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.base.textfield import TextField, no_such, steps
from tokenmill.pipeline.collect.records import Limits, Place, Record, dropped, of_row, quarantined, too_long
from tokenmill.pipeline.collect.text import utf8

if TYPE_CHECKING:
    # Parsers do without the library that checks settings.
    from tokenmill.pipeline.config import DatasetSource, FilesSource

    Source = FilesSource | DatasetSource

NESTED_VALUES = 1_000
"""Lists and objects with more values per row than this, on average over a row group, are not read."""
NESTED_BYTES = 4_096
"""The same for bytes per row."""
LEFT_OUT = object()
"""In place of a value that is not read or has no form in JSON."""


def is_text(kind: pa.DataType) -> bool:
    """Whether the values are strings."""
    kind = _plain(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def may_be_text(kind: pa.DataType) -> bool:
    """Whether the values are strings, or bytes, which may be UTF-8."""
    kind = _plain(kind)
    return is_text(kind) or bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_nested(kind: pa.DataType) -> bool:
    """Whether the values are lists, objects or maps."""
    return bool(pa.types.is_nested(kind))


def is_read(kind: pa.DataType) -> bool:
    """Whether a column beside the text is read; nested ones only if `fits` says so too."""
    return bool(is_text(kind) or is_nested(kind) or _is_scalar(kind) or _has_spelling(kind))


def fits(leaves: Sequence[pq.ColumnChunkMetaData], rows: int) -> bool:
    """Whether a nested column of a row group, which has these leaves, is small enough on average."""
    values = max((leaf.num_values for leaf in leaves), default=0)
    size = sum(leaf.total_uncompressed_size for leaf in leaves)
    return values <= NESTED_VALUES * max(1, rows) and size <= NESTED_BYTES * max(1, rows)


def fault(schema: pa.Schema, field: TextField) -> RecordError | None:
    """Why the text cannot be read from a table; None if it can."""
    return next(filter(None, (_fault(schema, name) for name in field.columns)), None)


def _fault(schema: pa.Schema, column: str) -> RecordError | None:
    fields, above = list(schema), ""
    kind = None
    for step in steps(column, schema.names):
        called = [field for field in fields if field.name == step]
        if not called and kind is not None and not fields:
            break
        if not called:
            return missing(column, [above + field.name for field in fields])
        if len(called) > 1:
            message = f"{len(called)} columns are called {above + step!r}; give them different names"
            return RecordError("missing_column", message)
        kind = called[0].type
        above += f"{step}."
        fields = list(kind) if pa.types.is_struct(kind) else []
    name = above.rstrip(".")
    if kind is None or (may_be_text(kind) and name == column):
        return None
    if fields:
        advice = f"name one in it, such as {above}{fields[0].name}"
    else:
        advice = "join its parts to one string" if is_nested(kind) else "convert it to strings"
    message = f"the column {name!r} holds {kind}, not text; {advice}, or name another column as text_field"
    return RecordError("missing_column", message)


def texts(batch: pa.RecordBatch, field: TextField) -> list[tuple[bytes | None, ...]]:
    """For each row, the values of the columns of its text."""
    found = []
    for name in field.columns:
        first, *below = steps(name, batch.schema.names)
        column = batch.column(batch.schema.names.index(first))
        for step in below:
            column = pc.struct_field(column, [column.type.get_field_index(step)])
        found.append(values(column))
    return list(zip(*found, strict=True))


def rows(batch: pa.RecordBatch, field: TextField) -> Iterator[dict[str, Any]]:
    """The rows of a batch without the columns of the text, and without what is around these."""
    names = batch.schema.names
    around = {steps(name, names)[0] for name in field.columns}
    others = {
        name: values(batch.column(at)) if is_read(batch.schema.field(at).type) else [LEFT_OUT] * batch.num_rows
        for at, name in enumerate(names)
        if name not in around
    }
    for row in zip(*others.values(), strict=True) if others else [()] * batch.num_rows:
        yield dict(zip(others, row, strict=True))


def record(
    texts: tuple[bytes | None, ...], row: Mapping[str, Any], field: TextField, place: Place, source: Source, limits: Limits
) -> Record:
    """The record of a row. `texts`: the values of the columns of its text. `row`: its other values."""
    if all(data is None for data in texts):
        return dropped(place, "empty", "the text is null")
    preview = b"".join(data for data in texts if data is not None)
    try:
        limits.begin(place)
        if len(preview) > limits.record_bytes:
            raise too_long(len(preview), limits.record_bytes)
        text = field.joined([None if data is None else utf8(data) for data in texts]) or ""
        plain = {name: utf8(value) if isinstance(value, bytes) else value for name, value in row.items()}
    except RecordError as error:
        return quarantined(place, error, preview)
    return of_row(text, plain, place, source, limits)


def missing(field: str, present: list[str]) -> RecordError:
    """The error of a table without the text column."""
    return no_such("column", field, present, reason="missing_column")


def _is_scalar(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _has_spelling(kind: pa.DataType) -> bool:
    """Whether the values are no numbers but have a usual spelling: times, dates and decimals."""
    return bool(pa.types.is_temporal(kind) or pa.types.is_decimal(kind))


def values(column: pa.Array) -> list[Any]:
    """The values of a column. Strings are bytes, because Arrow does not check that strings in a file are UTF-8."""
    if may_be_text(column.type):
        plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        return list(plain.cast(pa.large_binary()).to_pylist())
    try:
        return list((_spelled(column) if _has_spelling(column.type) else column).to_pylist(maps_as_pydicts="strict"))
    except (pa.ArrowException, ValueError, KeyError, OverflowError):
        # A string in a list that is not UTF-8, a time beyond the calendar, a map that repeats a key.
        return [_value(scalar) for scalar in column]


def _spelled(column: pa.Array) -> pa.Array:
    """Times, dates and decimals as strings. An instant is spelled in UTC: other zones stand in files of the machine, which
    a parser cannot open and which change.
    """
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return pc.binary_join_element_wise(column.cast(pa.timestamp(column.type.unit)).cast(pa.string()), "Z", "")
    return column.cast(pa.string())


def _value(scalar: pa.Scalar) -> Any:
    try:
        return _spelled(pa.array([scalar], scalar.type))[0].as_py() if _has_spelling(scalar.type) else scalar.as_py()
    except (pa.ArrowException, ValueError, KeyError, OverflowError):
        return LEFT_OUT
