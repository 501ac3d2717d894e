"""One token shard, laid out from encoded shards of documents.

Guarantee: a document lies in the token shard in which its first token falls, counted over its split in document order; so
shards are longer than `shard_tokens` by less than a document, and where one document spans several, numbers are left out.
Cost: one copy of the ids, at the speed of the disk; memory is one encoded shard and the documents table of one token shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import files, manifest, shards, state
from pipeline.config import PackConfig
from pipeline.manifest import Counts, Shard
from pipeline.pack.encoded import STAGE, VERSION, Encoded
from pipeline.shards import Named
from pipeline.tokens import SPLITS, BlockHashes, Ids, IdType, SplitName, in_validation, index, name_of, offsets

STATE = "tokens"
"""The name under which the state of token shards is recorded."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """An encoded shard of documents and where its share of a split begins."""

    shard: str
    payload: Named
    documents: Named
    first_token: int


@dataclass(frozen=True, kw_only=True)
class PackTask:
    """One token shard and the encoded shards that may have documents in it. Picklable."""

    root: Path
    split: SplitName
    number: int
    parts: tuple[Part, ...]
    config: PackConfig
    dtype: IdType

    @property
    def name(self) -> str:
        """`train/00000`."""
        return f"{self.split}/{self.number:05d}"

    @property
    def identity(self) -> str:
        """What the token shard depends on."""
        parts = [[part.shard, part.payload[1].sha256, part.documents[1].sha256, part.first_token] for part in self.parts]
        settings = {**self.config.model_dump(), "shard": self.name, "dtype": self.dtype.name, "parts": parts}
        return manifest.fingerprint(STAGE, VERSION, settings, {})


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A token shard; its counts are of documents and bytes of text."""

    split: SplitName
    shard: Shard
    tokens: int
    highest_id: int


def plan(root: Path, encoded: Sequence[Encoded], config: PackConfig, dtype: IdType) -> Iterator[PackTask]:
    """The token shards of both splits. Reads nothing."""
    for split in SPLITS:
        parts: dict[int, list[Part]] = {}
        first_token = 0
        for one in encoded:
            after = first_token + one.tokens[split]
            part = Part(shard=one.shard.name, payload=one.payload, documents=one.documents, first_token=first_token)
            if after > first_token:
                for number in range(first_token // config.shard_tokens, (after - 1) // config.shard_tokens + 1):
                    parts.setdefault(number, []).append(part)
            first_token = after
        for number in sorted(parts):
            yield PackTask(root=root, split=split, number=number, parts=tuple(parts[number]), config=config, dtype=dtype)


def pack_shard(task: PackTask) -> Packed | None:
    """Lay out one token shard, or find that it is done. None when no document begins in it. Raises CorruptFile."""
    known = state.load(state.path_of(task.root, STATE, task.name))
    done = state.finished(task.root, known, task.identity)
    if done is not None:
        return Packed(split=task.split, shard=done, tokens=known["tokens"], highest_id=known["highest_id"])
    tables = [_documents(task, part) for part in task.parts]
    if not any(table.num_rows for table in tables):
        return None
    packed = _lay_out(task, tables)
    facts = {"tokens": packed.tokens, "highest_id": packed.highest_id}
    state.record_shard(task.root, STATE, packed.shard, task.identity, **facts)
    return packed


def _documents(task: PackTask, part: Part) -> pa.Table:
    """The documents of `part` that belong to the token shard; `token_offset` is the place in the part's payload."""
    table = shards.read(task.root, part.documents)
    validation = in_validation(table["doc_id"], task.config.validation_fraction)
    mine = np.flatnonzero(validation == (task.split == "val"))
    starts = part.first_token + offsets(table["tokens"].to_numpy()[mine])
    return table.take(pa.array(mine[starts // task.config.shard_tokens == task.number]))


def _lay_out(task: PackTask, tables: Sequence[pa.Table]) -> Packed:
    names = {kind: name_of(task.split, task.number, kind) for kind in ("bin", "idx", "docs.parquet", "blocks")}
    hashes, highest = BlockHashes(), 0
    with files.create(task.root / names["bin"]) as out:
        for part, table in zip(task.parts, tables, strict=True):
            if table.num_rows:
                ids = _ids(task, part, table)
                highest = max(highest, int(ids.max()))
                data = ids.tobytes()
                hashes.update(data)
                out.write(data)
    documents = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    tokens = documents["tokens"].to_numpy()
    place = documents.schema.get_field_index("token_offset")
    documents = documents.set_column(place, documents.schema.field(place), pa.array(offsets(tokens)))
    entries = {
        names["bin"]: out.entry(),
        names["idx"]: files.write_bytes(task.root / names["idx"], index(tokens, task.dtype)),
        names["docs.parquet"]: shards.write(task.root, names["docs.parquet"], documents),
        names["blocks"]: files.write_bytes(task.root / names["blocks"], hashes.finish()),
    }
    text_bytes = int(pc.sum(documents["text_bytes"]).as_py())
    counts = Counts(read=len(tokens), kept=len(tokens), bytes_in=text_bytes, bytes_kept=text_bytes)
    shard = Shard(name=task.name, files=entries, counts=counts)
    return Packed(split=task.split, shard=shard, tokens=int(tokens.sum()), highest_id=highest)


def _ids(task: PackTask, part: Part, documents: pa.Table) -> Ids:
    """The ids of `documents` end to end; neighbours are copied together."""
    ids: Ids = np.frombuffer(files.read_verified(task.root, *part.payload), dtype=task.dtype)
    starts = documents["token_offset"].to_numpy()
    ends = starts + documents["tokens"].to_numpy()
    breaks = np.flatnonzero(starts[1:] != ends[:-1])
    firsts, lasts = starts[np.concatenate(([0], breaks + 1))], ends[np.concatenate((breaks, [len(ends) - 1]))]
    return np.concatenate([ids[first:last] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)])
