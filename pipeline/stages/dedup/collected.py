"""Reads the score shards of a corpus into arrays over all documents alive.

Guarantee: a row alive without a signature, with a signature of another length, or with another `doc_id` is an error. No
document is kept because its signature is missing.
Cost: one read of the score shards, in workers; 45 bytes per document. Bands are not held: `candidates` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.signatures import check_settings

Scored = tuple[View, Named]
"""A shard and its scores."""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """A few columns of every document alive, in document order. n documents."""

    doc_ids: pa.FixedSizeBinaryArray
    exact: npt.NDArray[np.uint64]
    """[n, 2]: 128-bit hash of what exact duplicates have in common."""
    text_bytes: npt.NDArray[np.int64]
    """[n]"""
    banded: npt.NDArray[np.bool_]
    """[n]: the document has n-grams, so it can be a near duplicate."""
    priority: npt.NDArray[np.int32]
    """[n]: the position of the document's source in the order of priority."""
    starts: npt.NDArray[np.int64]
    """[shards + 1]: the first document of each shard."""


@dataclass(frozen=True, kw_only=True)
class _Reading:
    view: View
    named: Named
    config: DedupConfig


def collect(scored: Sequence[Scored], config: DedupConfig, sources: tuple[str, ...], executor: Executor) -> Documents:
    """Read the columns of all rows alive. Raises Misaligned, CorruptFile, ConfigError."""
    priorities = [_priority(view, sources) for view, _ in scored]
    parts = executor.map(_read, [_Reading(view=view, named=named, config=config) for view, named in scored])
    sizes = [part.num_rows for part in parts]
    table = pa.concat_tables([_SCHEMA.empty_table(), *parts]).combine_chunks()
    return Documents(
        doc_ids=pa.chunked_array(table["doc_id"].chunks, schema.DOC_ID.type).combine_chunks(),
        exact=integers(table["exact"], 2),
        text_bytes=table["bytes"].to_numpy(),
        banded=table["banded"].to_numpy(),
        priority=np.repeat(np.array(priorities, dtype=np.int32), sizes),
        starts=np.cumsum([0, *sizes], dtype=np.int64),
    )


_SCHEMA = pa.schema(
    [
        schema.DOC_ID.with_nullable(True),
        pa.field("exact", pa.binary(16)),
        pa.field("bytes", pa.int64()),
        pa.field("banded", pa.bool_()),
    ]
)


def _priority(view: View, sources: tuple[str, ...]) -> int:
    source = view.source
    if source not in sources:
        raise ConfigError(f"dedup: source {source!r} of shard {view.name} has no priority; known: {', '.join(sources)}")
    return sources.index(source)


def _read(task: _Reading) -> pa.Table:
    """One shard's rows alive, with the columns of `_SCHEMA`."""
    alive = task.view.read(["doc_id"])
    table = _read_scores(task.view, task.named, task.config).take(pa.array(alive.rows)).combine_chunks()
    shards.align(task.view.documents, alive.table["doc_id"], task.named, table["doc_id"])
    banded = _check(table, task.named[0], task.config)
    columns = [table["doc_id"], table["exact"], table["bytes"], pa.array(banded)]
    return pa.table(columns, schema=_SCHEMA)


def _read_scores(view: View, named: Named, config: DedupConfig) -> pa.Table:
    table = shards.read(view.root, named)
    check_settings(table.schema, config, str(view.root / named[0]))
    if table.num_rows != view.documents[1].rows:
        raise CorruptFile(f"{view.root / named[0]}: {table.num_rows} rows of signatures for {view.documents[1].rows} documents")
    return table


def _check(table: pa.Table, name: str, config: DedupConfig) -> npt.NDArray[np.bool_]:
    """Which rows have bands. Raises CorruptFile if a signature is missing in whole or in part."""
    for column in ("exact", "units", "bytes"):
        if table[column].null_count:
            row = pc.index(table[column].is_null(), True).as_py()
            raise CorruptFile(f"{name}: {table[column].null_count} rows alive have no `{column}`, the first: {_id(table, row)}")
    banded = np.asarray(table["bands"].is_valid().to_numpy(), dtype=np.bool_)
    wrong = np.flatnonzero(banded != (table["units"].to_numpy() >= config.scheme.ngram))
    if len(wrong):
        raise CorruptFile(
            f"{name}: {len(wrong)} rows alive whose `bands` do not fit their `units`, the first: {_id(table, wrong[0])}; "
            f"texts of at least {config.scheme.ngram} {config.scheme.shingle} have bands, and no others"
        )
    return banded


def _id(table: pa.Table, row: int) -> str:
    identity: bytes = table["doc_id"][int(row)].as_py()
    return f"doc_id {identity.hex()}"


def integers(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.uint64]:
    """Fixed-size binary as rows of integers. Null rows hold arbitrary values. uint64 [rows, width]"""
    array = column.combine_chunks()
    if len(array) == 0:
        return np.empty((0, width), dtype=np.uint64)
    data = np.frombuffer(array.buffers()[1], dtype="<u8", count=len(array) * width, offset=array.offset * 8 * width)
    return data.reshape(len(array), width).astype(np.uint64, copy=False)
