"""Signatures: from texts to score columns, and from the score shards of a corpus to arrays over all documents.

Guarantee: a row alive without a signature, with one of another length, or with another `doc_id` is an error; nothing is
ever kept because its signature is missing.
Cost: signing is one pass over the text. Collected, a document takes 60 bytes and 8 per band (172 with 14 bands), on top of
one shard of scores, and sorting its bands about 100 bytes more: 24 GiB hold the signatures of some 80 million documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import schema, shards
from pipeline.config import DedupConfig
from pipeline.errors import ConfigError, CorruptFile
from pipeline.kernels import minhash
from pipeline.kernels.buffers import utf8
from pipeline.kernels.unicode import tables
from pipeline.shards import Named, View

EXACT_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """What is known of every document alive, in document order. n documents."""

    doc_ids: pa.FixedSizeBinaryArray
    exact: npt.NDArray[np.uint64]
    """[n, 2]"""
    words: npt.NDArray[np.int32]
    """[n]"""
    text_bytes: npt.NDArray[np.int64]
    """[n]"""
    bands: npt.NDArray[np.uint64]
    """[n, bands]; of documents with `banded` only."""
    banded: npt.NDArray[np.bool_]
    """[n]: it has n-grams, so it can be a near duplicate."""
    priority: npt.NDArray[np.int32]
    """[n]: the position of its source in the order of priority."""
    starts: npt.NDArray[np.int64]
    """[shards + 1]: the first document of each shard."""


def score_schema(bands: int) -> pa.Schema:
    """The score columns. `bands` is null for a text of fewer words than an n-gram has: only `exact` compares it."""
    return pa.schema(
        [
            pa.field("exact", pa.binary(EXACT_BYTES)),
            pa.field("words", pa.int32()),
            pa.field("bytes", pa.int64()),
            pa.field("bands", pa.binary(8 * bands)),
        ]
    )


def sign(texts: pa.LargeStringArray, config: DedupConfig) -> pa.RecordBatch:
    """The score columns of a column of texts."""
    data, offsets = utf8(texts)
    rows = len(texts)
    exact = np.zeros((rows, 2), dtype="<u8")
    words = np.zeros(rows, dtype=np.int32)
    bands = np.zeros((rows, config.bands), dtype="<u8")
    key = np.random.Generator(np.random.PCG64(config.seed)).integers(0, 2**64, size=2, dtype=np.uint64)
    multipliers, increments = minhash.permutations(config.seed, config.bands * config.rows)
    minhash.sign(data, offsets, tables(), key, multipliers, increments, config.ngram_words, exact, words, bands)
    columns = [_binary(exact), pa.array(words), pa.array(np.diff(offsets)), _binary(bands, words >= config.ngram_words)]
    return pa.RecordBatch.from_arrays(columns, schema=score_schema(config.bands))


def collect(scored: Sequence[tuple[View, Named]], config: DedupConfig, sources: tuple[str, ...]) -> Signatures:
    """Read the signatures of all rows alive. Raises Misaligned, CorruptFile, ConfigError."""
    parts = []
    ids: list[pa.Array] = []
    starts = [0]
    for view, named in scored:
        alive = view.read(["doc_id"])
        table = _read_scores(view, named, config).take(pa.array(alive.rows)).combine_chunks()
        shards.align(view.documents, alive.table["doc_id"], named, table["doc_id"])
        banded = _check(table, named[0], config)
        source = view.name.split("/")[0]
        if source not in sources:
            raise ConfigError(f"dedup: source {source!r} of shard {view.name} has no priority; known: {', '.join(sources)}")
        parts.append(
            (
                _integers(table["exact"], 2),
                table["words"].to_numpy().astype(np.int32),
                table["bytes"].to_numpy().astype(np.int64),
                _integers(table["bands"], config.bands),
                banded,
                np.full(len(alive.rows), sources.index(source), dtype=np.int32),
            )
        )
        ids += table["doc_id"].chunks
        starts.append(starts[-1] + len(alive.rows))
    empty = (
        np.empty((0, 2), np.uint64),
        np.empty(0, np.int32),
        np.empty(0, np.int64),
        np.empty((0, config.bands), np.uint64),
        np.empty(0, np.bool_),
        np.empty(0, np.int32),
    )
    exact, words, text_bytes, bands, banded, priority = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return Signatures(
        doc_ids=pa.chunked_array(ids, schema.DOC_ID.type).combine_chunks(),
        exact=exact,
        words=words,
        text_bytes=text_bytes,
        bands=bands,
        banded=banded,
        priority=priority,
        starts=np.array(starts, dtype=np.int64),
    )


def _read_scores(view: View, named: Named, config: DedupConfig) -> pa.Table:
    table = shards.read(view.root, named)
    wanted = pa.schema([schema.DOC_ID, *score_schema(config.bands)])
    if table.schema.names != wanted.names or table.schema.types != wanted.types:
        raise CorruptFile(f"{view.root / named[0]}: holds no signatures of {config.bands} bands, but {table.schema}")
    if table.num_rows != view.documents[1].rows:
        raise CorruptFile(f"{view.root / named[0]}: {table.num_rows} rows of signatures for {view.documents[1].rows} documents")
    return table


def _check(table: pa.Table, name: str, config: DedupConfig) -> npt.NDArray[np.bool_]:
    """Which rows have bands. Raises CorruptFile where a signature is missing in whole or in part."""
    for column in ("exact", "words", "bytes"):
        if table[column].null_count:
            row = pc.index(table[column].is_null(), True).as_py()
            raise CorruptFile(f"{name}: {table[column].null_count} rows alive have no `{column}`, the first: {_id(table, row)}")
    banded = np.asarray(table["bands"].is_valid().to_numpy(), dtype=np.bool_)
    wrong = np.flatnonzero(banded != (table["words"].to_numpy() >= config.ngram_words))
    if len(wrong):
        raise CorruptFile(
            f"{name}: {len(wrong)} rows alive whose `bands` do not fit their `words`, the first: {_id(table, wrong[0])}; "
            f"texts of at least {config.ngram_words} words have bands, and no others"
        )
    return banded


def _id(table: pa.Table, row: int) -> str:
    identity: bytes = table["doc_id"][int(row)].as_py()
    return f"doc_id {identity.hex()}"


def _binary(values: npt.NDArray[np.uint64], valid: npt.NDArray[np.bool_] | None = None) -> pa.FixedSizeBinaryArray:
    """Rows of integers as fixed-size binary, little end first; null where not `valid`."""
    kind = pa.binary(8 * values.shape[1])
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(values), [mask, pa.py_buffer(values)])


def _integers(column: pa.ChunkedArray, width: int) -> npt.NDArray[np.uint64]:
    """Fixed-size binary as rows of integers; what null rows hold means nothing. uint64 [rows, width]"""
    array = column.combine_chunks()
    if len(array) == 0:
        return np.empty((0, width), dtype=np.uint64)
    data = np.frombuffer(array.buffers()[1], dtype="<u8", count=len(array) * width, offset=array.offset * 8 * width)
    return data.reshape(len(array), width).astype(np.uint64, copy=False)
