"""From a token back to its document, source and text, and to every verdict that the document met; and to who read it.

Purpose: `document_at` and `documents_between` say which documents tokens are of; `text_at` shows the text around a token, as
decoded and as stored; `history` is what each stage scored, decided and edited; `exposure` is which samples held a document.
Guarantee: all of it is read from published tables, after their hashes were compared; nothing is guessed. It holds after
compaction too, because the tables of a token shard are rewritten with it.
Cost: one documents table of a token shard, one shard of each stage's tables; exposure computes the order of all samples read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.edits import Edit, project
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import Named, views
from tokenmill.pipeline.stages.stage import name_of
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.samples import Samples
from tokenmill.pipeline.tokens.shard import TokenShard
from tokenmill.pipeline.tokens.store import Split, TokenStore

Decoder = Callable[[npt.NDArray[Any]], bytes]
PLACE = re.compile(r"(train|val)/(\d{5,}):(\d+)")
AROUND_TOKENS = 48
AROUND_BYTES = 200
LONGEST_SCORE = 64
"""Longer ones, as hex digits, are signatures."""
SAMPLES_AT_ONCE = 2**18


@dataclass(frozen=True, kw_only=True)
class Document:
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


@dataclass(frozen=True, kw_only=True)
class Around:
    """Text around a token. `byte`: where it begins in the text that was encoded.

    `stored_*`: the bytes of the stored text that it stands for, edits undone, and the text around them.
    """

    id: int
    before: str
    token: str
    after: str
    byte: int
    stored_start: int
    stored_end: int
    stored_before: str
    stored: str
    stored_after: str


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


def document_at(store: TokenStore, name: str, token: int) -> Document:
    """The document that a token of the shard `name` is of. Raises InputError, CorruptFile."""
    shard = shard_of(store, name)
    if not 0 <= token < shard.tokens:
        raise InputError(f"{name} holds {shard.tokens} tokens, so there is no token {token} in it")
    table = _documents(shard)
    return _document(shard, table, int(np.searchsorted(table["token_offset"].to_numpy(), token, side="right")) - 1)


def documents_between(split: Split, start: int, stop: int) -> Iterator[tuple[Document, int, int]]:
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


def find(store: TokenStore, doc_id: str) -> Document:
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


def text_at(store: TokenStore, before: Sequence[Manifest], document: Document, token: int, decode: Decoder) -> Around:
    """The text around a token (counted in its shard) of `document`. `before`: the manifests of the stages before packing.

    Raises CorruptFile.
    """
    shard = shard_of(store, document.token_shard)
    ids = shard.read(document.first_token, document.first_token + document.tokens - 1)
    at = token - document.first_token
    start = len(decode(ids[:at]))
    piece = decode(ids[at : at + 1])
    view = next(view for view in views(store.folder.parent, before) if view.name == document.shard)
    edits: Sequence[Edit] = view.read().edits.get(document.row, [])
    ((first, last),) = project(edits, [(start, start + len(piece))])
    stored = _row(store.folder.parent, view.documents, document)["text"].encode()
    return Around(
        id=int(shard.read(token, token + 1)[0]),
        before=_text(decode(ids[max(0, at - AROUND_TOKENS) : at])),
        token=_text(piece),
        after=_text(decode(ids[at + 1 : at + 1 + AROUND_TOKENS])),
        byte=start,
        stored_start=first,
        stored_end=last,
        stored_before=_text(stored[max(0, first - AROUND_BYTES) : first]),
        stored=_text(stored[first:last]),
        stored_after=_text(stored[last : last + AROUND_BYTES]),
    )


def history(root: Path, before: Sequence[Manifest], document: Document) -> list[dict[str, Any]]:
    """For each stage before packing, in its order, what it published about a document, as JSON values.

    `stage`; `reason` ("" is kept) and the `evidence` beside it; `scores`; `edits` of the stored text. Columns that are null,
    and signatures, are left out. Collection says the document's `metadata`. Raises CorruptFile.
    """
    found = []
    for made in before:
        named = {
            name: (name, entry) for shard in made.shards if shard.name == document.shard for name, entry in shard.files.items()
        }
        said: dict[str, Any] = {"stage": made.stage}
        for kind in ("verdicts", "scores"):
            table = named.get(name_of(made.stage, kind, document.shard))
            if table is None:
                continue
            row = {key: _shown(value) for key, value in _row(root, table, document).items() if value is not None}
            if kind == "verdicts":
                said |= {"reason": row.pop("reason", None), "evidence": row}
            else:
                said["scores"] = {key: value for key, value in row.items() if not _is_signature(value)}
        edits = named.get(name_of(made.stage, "edits", document.shard))
        if edits is not None:
            table = shards.read(root, edits)
            mine = table.take(pa.array(forget.rows_of(table["doc_id"], [bytes.fromhex(document.doc_id)])))
            said["edits"] = mine.drop_columns(["doc_id"]).to_pylist()
        documents = named.get(f"documents/{document.shard}.parquet")
        if documents is not None:
            said["metadata"] = _row(root, documents, document)["metadata"]
        if len(said) > 1:
            found.append(said)
    return found


def exposure(samples: Samples, document: Document, consumed: int) -> npt.NDArray[np.int64]:
    """Which of the first `consumed` samples hold tokens of `document`: int64 [found], ascending."""
    split = samples.split
    shard = next((shard for shard in split.shards if _name(shard) == document.token_shard), None)
    if shard is None:
        return np.zeros(0, dtype=np.int64)
    first = shard.first_token + document.first_token
    found = [np.zeros(0, dtype=np.int64)]
    for start in range(0, consumed, SAMPLES_AT_ONCE):
        starts = samples.starts(start, min(SAMPLES_AT_ONCE, consumed - start))
        found.append(start + np.flatnonzero((starts < first + document.tokens) & (starts + samples.length + 1 > first)))
    return np.concatenate(found)


def _name(shard: TokenShard) -> str:
    return f"{shard.path.parent.name}/{shard.path.stem}"


@functools.lru_cache(maxsize=2)
def _table(root: Path, named: Named) -> pa.Table:
    return shards.read(root, named)


def _documents(shard: TokenShard) -> pa.Table:
    return _table(shard.root, shard.documents)


def _document(shard: TokenShard, table: pa.Table, row: int) -> Document:
    plain = table.slice(row, 1).to_pylist()[0]
    first = plain["token_offset"]
    spans = shard.forgotten
    return Document(
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


def _row(root: Path, named: Named, document: Document) -> dict[str, Any]:
    """The row of `document` in a table that is aligned with the documents. Raises CorruptFile, Misaligned."""
    row = _table(root, named).slice(document.row, 1)
    wanted = pa.chunked_array([[bytes.fromhex(document.doc_id)]], schema.DOC_ID.type)
    shards.align(named, row["doc_id"], (f"the documents of {document.token_shard}", named[1]), wanted)
    found: dict[str, Any] = row.drop_columns(["doc_id"]).to_pylist()[0]
    return found


def _is_signature(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and len(value) > LONGEST_SCORE)


def _shown(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _text(data: bytes) -> str:
    """Bytes may begin or end inside a character: those bytes are shown as U+FFFD."""
    return data.decode("utf-8", errors="replace")
