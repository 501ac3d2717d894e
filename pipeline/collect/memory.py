"""Texts from memory: of anything that gives an Arrow stream, and as a finished collection.

Purpose: a stage or the tokenizer runs over a table that nobody keeps in a corpus.
Guarantee: a column that is missing, of another type or with nulls is refused, by name. Rows stay in their order, also where a
stage orders documents by their id: ids are the numbers of the rows.
Cost: no copy of large_string columns; `collected` writes the texts once, into a folder that the caller removes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import manifest, schema, shards, spelling, state
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.manifest import COLLECT, Counts, Manifest, Shard
from tokenmill.pipeline.collect.write import documents_name

SOURCE = "table"
SHARD_BYTES = 16_000_000
"""Bytes of text in a shard, about."""


def collected(root: Path, texts: pa.ChunkedArray) -> Manifest:
    """Write `texts` (large_string without nulls) as the documents of a corpus below `root`, and publish their manifest."""
    (root / state.FOLDER).mkdir(parents=True, exist_ok=True)
    sizes = np.asarray(pc.binary_length(texts).to_numpy(), dtype=np.int64)
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // SHARD_BYTES)) + 1
    bounds = [0, *cuts.tolist(), len(texts)] if len(texts) else []
    made = []
    for number, (first, last) in enumerate(itertools.pairwise(bounds)):
        ids = [row.to_bytes(schema.DOC_ID_BYTES, "big") for row in range(first, last)]
        made.append(write(root, f"{SOURCE}/{number:06d}", ids, texts.slice(first, last - first).combine_chunks()))
    return manifest.commit(root, manifest_of(made))


def write(root: Path, name: str, ids: Sequence[bytes], texts: pa.LargeStringArray) -> Shard:
    """Write texts with these ids as documents, the shard `<source>/...`. Raises OSError."""
    rows = len(texts)
    columns = {
        "doc_id": ids,
        "source": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int32)), [name.partition("/")[0]]),
        "url": pa.nulls(rows, pa.string()),
        "text": texts,
        "metadata": pa.array(["{}"] * rows),
    }
    path = documents_name(name)
    entry = shards.write(root, path, pa.table(columns).cast(schema.DOCUMENTS), durable=False)
    size = int(pc.sum(pc.binary_length(texts)).as_py() or 0)
    return Shard(name=name, files={path: entry}, counts=Counts(read=rows, kept=rows, bytes_in=size, bytes_kept=size))


def manifest_of(made: Sequence[Shard]) -> Manifest:
    """What a collection of these shards says."""
    return Manifest(stage=COLLECT, version=1, config={}, inputs={}, shards=tuple(made))


def texts_of(table: Any, column: str) -> pa.ChunkedArray:
    """The texts as large_string without nulls. Raises InputError."""
    if isinstance(table, list | tuple):
        return _checked(_texts(table), column)
    if not hasattr(table, "__arrow_c_stream__") and hasattr(table, "with_format") and hasattr(table, "__len__"):
        # A `datasets.Dataset`, with its selection of rows.
        table = table.with_format("arrow")[:]
    if not hasattr(table, "__arrow_c_stream__"):
        raise InputError(
            f"{type(table).__name__} is no table: give one with an Arrow stream (pyarrow, polars, pandas, datasets), or a list "
            "of strings"
        )
    try:
        found = pa.chunked_array(table)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise InputError(f"the {type(table).__name__} cannot be read as Arrow: {error}") from error
    if pa.types.is_struct(found.type):
        names = [field.name for field in found.type.fields]
        if names.count(column) != 1:
            near = spelling.nearest(column, names)
            hint = f"did you mean {near!r}?" if near and near != column else f"there: {', '.join(names) or 'none'}"
            raise InputError(f"the table has {names.count(column)} columns {column!r}, not one; {hint}")
        at = names.index(column)
        found = pa.chunked_array([chunk.field(at) for chunk in found.chunks], found.type.field(at).type)
    return _checked(found, column)


def _checked(found: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
    """As large_string, if it is text without nulls and valid UTF-8."""
    if not len(found):
        return pa.chunked_array([], pa.large_string())
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise InputError(f"the column {column!r} holds {found.type}, not text")
    if found.null_count:
        raise InputError(f"the column {column!r} has {found.null_count:,} nulls; fill or drop them")
    texts = found.cast(pa.large_string())
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"the column {column!r} holds bytes that are no UTF-8: {error}") from error
    return texts


def _texts(values: list[Any] | tuple[Any, ...]) -> pa.ChunkedArray:
    try:
        return pa.chunked_array([pa.array(values, pa.large_string())])
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise InputError(f"the list holds something that is no text: {error}") from error
