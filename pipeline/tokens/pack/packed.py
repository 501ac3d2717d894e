"""Lay out one token shard from encoded shards of documents.

Purpose: put the documents of one source and one split into the order of the store. Shuffled, this is the order of their places,
a hash of `doc_id`; token shard k of n holds the k-th of n equal ranges of places. Otherwise it is document order, and a
document is in the shard in which its first token falls.
Guarantee: forgetting a document moves no other one. Shuffled, the shard of a document and its order among others depend only on
`doc_id` while the number of shards is the same. Shuffled shards are as long as chance makes them (0.6 % off at 100,000
documents); others are longer than `shard_tokens` by less than a document. If no document falls into a shard, its number is left
out.
Cost: one copy of the ids. Each shuffled token shard reads the documents tables of all encoded shards of its source (about 2 ms
each) and its own range of their ids. Memory is the ids and the documents table of one token shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import manifest, shards, state
from tokenmill.pipeline.base.manifest import PACK, Counts, Shard
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.tokens import SPLITS, IdType, SplitName, offsets
from tokenmill.pipeline.tokens.forget import LeftOut
from tokenmill.pipeline.tokens.format import first_place_of_train
from tokenmill.pipeline.tokens.pack.encoded import VERSION, Encoded, bodies
from tokenmill.pipeline.tokens.write import write_shard

STATE = "tokens"
"""The name under which the state of token shards is recorded."""
DOCUMENTS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Part:
    """An encoded shard of documents.

    `first_token`: where its documents begin in the source's run of tokens in the split, in document order.
    """

    shard: str
    payload: str
    documents: Named
    first_token: int
    forgotten: tuple[int, ...]
    """Rows of its table to leave out. They still count for where shards begin, so forgetting moves no other document."""


@dataclass(frozen=True, kw_only=True)
class PackTask:
    """Token shard `number` of a split: the `place`-th of the `places` shards of its source.

    `parts`: the encoded shards that may have documents in it. Picklable.
    """

    root: Path
    split: SplitName
    source: str
    number: int
    place: int
    places: int
    parts: tuple[Part, ...]
    config: PackConfig
    dtype: IdType

    @property
    def name(self) -> str:
        """`train/00000`."""
        return f"{self.split}/{self.number:05d}"

    @property
    def identity(self) -> str:
        """A fingerprint of everything that the token shard depends on."""
        parts = [[part.shard, part.documents[1].sha256, part.first_token, list(part.forgotten)] for part in self.parts]
        place = {"shard": self.name, "place": [self.place, self.places], "dtype": self.dtype.name, "parts": parts}
        return manifest.fingerprint(PACK, VERSION, {**self.config.model_dump(), **place}, {})


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A token shard. Its counts are of documents and of bytes of text."""

    split: SplitName
    source: str
    shard: Shard
    tokens: int
    highest_id: int


def plan(
    root: Path, encoded: Sequence[Encoded], left_out: Mapping[str, LeftOut], config: PackConfig, dtype: IdType
) -> Iterator[PackTask]:
    """The token shards of both splits, source by source. Reads no file.

    `left_out`: what to leave out of encoded shards, by their names.
    """
    sources: dict[str, list[Encoded]] = {}
    for one in encoded:
        sources.setdefault(one.source, []).append(one)
    for split in SPLITS:
        number = 0
        for source, members in sources.items():
            total = sum(one.tokens[split] for one in members)
            places = -(-total // config.shard_tokens)
            for place, parts in enumerate(_parts(members, split, places, left_out, config)):
                yield PackTask(
                    root=root,
                    split=split,
                    source=source,
                    number=number + place,
                    place=place,
                    places=places,
                    parts=tuple(parts),
                    config=config,
                    dtype=dtype,
                )
            number += places


def _parts(
    members: Sequence[Encoded], split: SplitName, places: int, left_out: Mapping[str, LeftOut], config: PackConfig
) -> list[list[Part]]:
    """For each token shard of a source, the encoded shards that may have documents in it."""
    found: list[list[Part]] = [[] for _ in range(places)]
    first_token = 0
    for one in members:
        after = first_token + one.tokens[split]
        if after == first_token:
            continue
        name = one.shard.name
        forgotten = left_out[name].rows if name in left_out else ()
        part = Part(shard=name, payload=one.payload, documents=one.documents, first_token=first_token, forgotten=forgotten)
        first, last = (
            (0, places - 1) if config.shuffle else (first_token // config.shard_tokens, (after - 1) // config.shard_tokens)
        )
        for place in range(first, last + 1):
            found[place].append(part)
        first_token = after
    return found


def pack_shard(task: PackTask) -> Packed | None:
    """Lay out one token shard, or return it if it is current. None if it has no document. Raises CorruptFile."""
    known = state.load(state.path_of(task.root, STATE, task.name))
    shard = state.finished(task.root, known, task.identity)
    if shard is not None:
        facts = {name: known[name] for name in ("tokens", "highest_id")}
    else:
        tables = [_documents(task, part) for part in task.parts]
        if not any(table.num_rows for table in tables):
            return None
        shard, facts = _lay_out(task, tables)
        state.record_shard(task.root, STATE, shard, task.identity, **facts)
    return Packed(split=task.split, source=task.source, shard=shard, **facts)


def _documents(task: PackTask, part: Part) -> pa.Table:
    """The documents of `part` that belong in the token shard, in its order.

    `token_offset` is the place in the part's payload.
    """
    table = shards.read(task.root, part.documents)
    place = table["place"].to_numpy()
    border = first_place_of_train(task.config.validation_fraction)
    low, high = (0, border) if task.split == "val" else (border, 2**64)
    if task.config.shuffle:
        width = high - low
        low, high = (low + width * at // task.places for at in (task.place, task.place + 1))
    # The upper bound is inclusive, because 2**64 does not fit into uint64.
    rows = np.flatnonzero((place >= np.uint64(low)) & (place <= np.uint64(high - 1)))
    if not task.config.shuffle:
        rows = rows[np.argsort(table["row"].to_numpy()[rows])]
        starts = part.first_token + offsets(table["tokens"].to_numpy()[rows])
        rows = rows[starts // task.config.shard_tokens == task.place]
    return table.take(pa.array(rows[~np.isin(rows, np.array(part.forgotten, dtype=np.int64))]))


def _lay_out(task: PackTask, tables: Sequence[pa.Table]) -> tuple[Shard, dict[str, int]]:
    documents = pa.concat_tables(tables).unify_dictionaries()
    found = [
        ids
        for part, table in zip(task.parts, tables, strict=True)
        for ids in bodies(task.root / part.payload, table, task.dtype)
    ]
    if task.config.shuffle:
        order = np.argsort(documents["place"].to_numpy(), kind="stable")
        documents, found = documents.take(pa.array(order)), [found[row] for row in order]
    pieces = (np.concatenate(found[first : first + DOCUMENTS_AT_ONCE]) for first in range(0, len(found), DOCUMENTS_AT_ONCE))
    written = write_shard(task.root, task.split, task.number, pieces, documents, task.dtype)
    text_bytes, tokens = (int(pc.sum(documents[name]).as_py()) for name in ("text_bytes", "tokens"))
    rows = documents.num_rows
    counts = Counts(read=rows, kept=rows, bytes_in=text_bytes, bytes_kept=text_bytes)
    return Shard(name=task.name, files=written.files, counts=counts), {"tokens": tokens, "highest_id": written.highest_id}
