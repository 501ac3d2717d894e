"""Which document a token is of, where a document stands, and which samples held it.

Guarantee: read from published tables after their hashes were compared. It holds after compaction too, because the tables of a
token shard are rewritten with it.
Cost: one documents table of a token shard; `find` reads all of them, `exposure` computes the order of all samples read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.samples import Samples
from tokenmill.pipeline.tokens.shard import TokenShard
from tokenmill.pipeline.tokens.store import Split, TokenStore

PLACE = re.compile(r"(train|val)/(\d{5,}):(\d+)")
SAMPLES_AT_ONCE = 2**18


@dataclass(frozen=True, kw_only=True)
class PackedDocument:
    """A document of the store. Tokens are counted in its token shard, end-of-text included."""

    doc_id: str
    source: str
    url: str | None
    shard: str
    """Its shard of documents, and `row` its row there."""
    row: int
    token_shard: str
    first_token: int
    tokens: int
    text_bytes: int
    content_hash: str
    forgotten: bool


def place(text: str) -> tuple[str, int]:
    """`train/00000:1000` -> the name of a token shard and a token in it. Raises InputError."""
    found = PLACE.fullmatch(text)
    if found is None:
        raise InputError(f"{text!r} is no place of a token: write it as train/00000:1000, token 1000 of that shard")
    return f"{found[1]}/{found[2]}", int(found[3])


def shard_of(store: TokenStore, name: str) -> TokenShard:
    """The token shard of that name. Raises InputError."""
    found = [shard for split in store.splits for shard in split.shards if _name(shard) == name]
    if not found:
        raise InputError(f"{store.folder} holds no token shard {name}")
    return found[0]


def document_at(store: TokenStore, name: str, token: int) -> PackedDocument:
    """The document that a token of the shard `name` is of. Raises InputError, CorruptFile."""
    shard = shard_of(store, name)
    if not 0 <= token < shard.tokens:
        raise InputError(f"{name} holds {shard.tokens} tokens, so there is no token {token} in it")
    table = _documents(shard)
    return _document(shard, table, int(np.searchsorted(table["token_offset"].to_numpy(), token, side="right")) - 1)


def documents_between(split: Split, start: int, stop: int) -> Iterator[tuple[PackedDocument, int, int]]:
    """The documents of the tokens [start, stop) of a split, each with the first of its tokens there and the one after the last.

    These two are counted in the document. Raises CorruptFile.
    """
    for shard in split.shards:
        first, last = max(start - shard.first_token, 0), min(stop - shard.first_token, shard.tokens)
        if first >= last:
            continue
        table = _documents(shard)
        offsets = table["token_offset"].to_numpy()
        rows = range(int(np.searchsorted(offsets, first, side="right")) - 1, int(np.searchsorted(offsets, last)))
        for row in rows:
            document = _document(shard, table, row)
            yield document, max(first - document.first_token, 0), min(last - document.first_token, document.tokens)


def find(store: TokenStore, doc_id: str) -> PackedDocument:
    """The document of that id (32 hex digits). Raises InputError when the store does not hold it, CorruptFile."""
    try:
        wanted = bytes.fromhex(doc_id)
    except ValueError as error:
        raise InputError(f"{doc_id!r} is no id of a document, which is 32 hex digits") from error
    for split in store.splits:
        for shard in split.shards:
            table = shards.read(shard.root, shard.documents)
            rows = forget.rows_of(table["doc_id"], [wanted])
            if len(rows):
                return _document(shard, table, int(rows[0]))
    known = forget.load(store.folder)
    gone = known is not None and wanted in known.documents
    raise InputError(f"{store.folder} holds no document {doc_id}" + (": it was forgotten and taken out" if gone else ""))


def exposure(samples: Samples, document: PackedDocument, consumed: int) -> npt.NDArray[np.int64]:
    """Which of the first `consumed` samples have tokens of `document` as targets: int64 [found], ascending."""
    split = samples.split
    shard = next((shard for shard in split.shards if _name(shard) == document.token_shard), None)
    if shard is None:
        return np.zeros(0, dtype=np.int64)
    first = shard.first_token + document.first_token
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, consumed, SAMPLES_AT_ONCE):
        starts = samples.starts(start, min(SAMPLES_AT_ONCE, consumed - start))
        found.append(start + np.flatnonzero((starts < first + document.tokens) & (starts + samples.length > first)))
    return np.concatenate(found)


def _name(shard: TokenShard) -> str:
    return f"{shard.path.parent.name}/{shard.path.stem}"


@functools.lru_cache(maxsize=2)
def _table(root: Path, named: Named) -> pa.Table:
    return shards.read(root, named)


def _documents(shard: TokenShard) -> pa.Table:
    return _table(shard.root, shard.documents)


def _document(shard: TokenShard, table: pa.Table, row: int) -> PackedDocument:
    plain = table.slice(row, 1).to_pylist()[0]
    first = plain["token_offset"]
    spans = shard.forgotten
    return PackedDocument(
        doc_id=plain["doc_id"].hex(),
        source=plain["source"],
        url=plain["url"],
        shard=plain["shard"],
        row=plain["row"],
        token_shard=_name(shard),
        first_token=first,
        tokens=plain["tokens"],
        text_bytes=plain["text_bytes"],
        content_hash=plain["content_hash"].hex(),
        forgotten=bool(((spans[:, 0] <= first) & (first < spans[:, 1])).any()),
    )
