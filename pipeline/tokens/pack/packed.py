"""Lay out token shards from encoded shards of documents.

Purpose: put the documents of one source and one split into the order of the store. Shuffled, this is the order of their places,
a hash of `doc_id`; token shard k of n holds the k-th of n equal ranges of places. Otherwise it is document order, and a
document is in the shard in which its first token falls.
Guarantee: forgetting a document moves no other one. Shuffled, the shard of a document and its order among others depend only on
`doc_id` while the number of shards is the same. Shuffled shards are as long as chance makes them (0.6 % off at 100,000
documents); others are longer than `shard_tokens` by less than a document. If no document falls into a shard, its number is left
out.
Cost: one copy of the ids, and if a source has many shards, another one for each round of `gathered`. Each file is opened once
in a round. Memory is the ids and the documents table of one token shard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import files, manifest, shards, state
from tokenmill.pipeline.base.manifest import PACK, Counts, Shard
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.tokens import SPLITS, IdType, SplitName, offsets
from tokenmill.pipeline.tokens.forget import LeftOut
from tokenmill.pipeline.tokens.format import first_place_of_train
from tokenmill.pipeline.tokens.pack.encoded import VERSION, Encoded
from tokenmill.pipeline.tokens.pack.gathered import (
    LAST_PLACE,
    PLAIN,
    GatheredPart,
    Part,
    end_to_end,
    gather,
    laid_together,
    table_of,
    within,
)
from tokenmill.pipeline.tokens.write import write_shard

STATE = "tokens"
"""The name under which the state of token shards is recorded."""


@dataclass(frozen=True, kw_only=True)
class PackTask:
    """Token shard `number` of a split: the `place`-th of the `places` shards of its source.

    `parts`: what may have documents in it. Picklable.
    """

    root: Path
    split: SplitName
    source: str
    number: int
    place: int
    places: int
    parts: tuple[Part | GatheredPart, ...]
    digest: str
    """A hash of the encoded shards that `parts` were planned from."""
    config: PackConfig
    dtype: IdType

    @property
    def name(self) -> str:
        """`train/00000`."""
        return f"{self.split}/{self.number:05d}"

    @property
    def identity(self) -> str:
        """A fingerprint of everything that the token shard depends on."""
        place = [self.place, self.places]
        depends = {"shard": self.name, "place": place, "dtype": self.dtype.name, "parts": self.digest}
        return manifest.fingerprint(PACK, VERSION, {**self.config.model_dump(), **depends}, {})


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
    # Shuffled, all token shards of a source have the same parts, whose hash is made once.
    shuffled = {source: _hashed(_shuffled(members, left_out)) for source, members in sources.items() if config.shuffle}
    for split in SPLITS:
        number = 0
        for source, members in sources.items():
            total = sum(one.tokens[split] for one in members)
            places = -(-total // config.shard_tokens)
            if config.shuffle:
                found = [shuffled[source]] * places
            else:
                found = list(map(_hashed, _parts(members, split, places, left_out, config.shard_tokens)))
            for place, (parts, digest) in enumerate(found):
                yield PackTask(
                    root=root,
                    split=split,
                    source=source,
                    number=number + place,
                    place=place,
                    places=places,
                    parts=parts,
                    digest=digest,
                    config=config,
                    dtype=dtype,
                )
            number += places


def _hashed(parts: tuple[Part, ...]) -> tuple[tuple[Part, ...], str]:
    plain = [[part.shard, part.documents[1].sha256, part.first_token, list(part.forgotten)] for part in parts]
    return parts, hashlib.sha256(files.canonical_json(plain)).hexdigest()


def _part(one: Encoded, first_token: int, left_out: Mapping[str, LeftOut]) -> Part:
    name = one.shard.name
    forgotten = left_out[name].rows if name in left_out else ()
    return Part(shard=name, payload=one.payload, documents=one.documents, first_token=first_token, forgotten=forgotten)


def _shuffled(members: Sequence[Encoded], left_out: Mapping[str, LeftOut]) -> tuple[Part, ...]:
    """The encoded shards of a source that have documents."""
    return tuple(_part(one, 0, left_out) for one in members if any(one.tokens.values()))


def _parts(
    members: Sequence[Encoded], split: SplitName, places: int, left_out: Mapping[str, LeftOut], shard_tokens: int
) -> list[tuple[Part, ...]]:
    """For each token shard of a source in document order, the encoded shards that have documents in it."""
    found: list[list[Part]] = [[] for _ in range(places)]
    first_token = 0
    for one in members:
        after = first_token + one.tokens[split]
        if after > first_token:
            part = _part(one, first_token, left_out)
            for place in range(first_token // shard_tokens, (after - 1) // shard_tokens + 1):
                found[place].append(part)
        first_token = after
    return [tuple(mine) for mine in found]


def pack(tasks: Sequence[PackTask], means: Means) -> list[Packed]:
    """The token shards of `tasks`, without those that have no document. What is current stays as it is. Raises CorruptFile.

    Shuffled encoded shards are gathered in the folder of `means` first, if they are many.
    """
    known = means.executor.map(current, [replace(task, parts=()) for task in tasks])
    missing = [task for task, packed in zip(tasks, known, strict=True) if packed is None]
    shuffled: dict[str, list[PackTask]] = {}
    for task in missing:
        if task.config.shuffle:
            shuffled.setdefault(task.source, []).append(task)
    parts = {
        source: tuple(gather(mine[0].root, mine[0].parts, len(mine), mine[0].dtype, source, means))
        for source, mine in shuffled.items()
    }
    made = iter(means.executor.map(pack_shard, [replace(task, parts=parts.get(task.source, task.parts)) for task in missing]))
    answers = (packed or next(made) for packed in known)
    return [packed for packed in answers if packed is not None]


def current(task: PackTask) -> Packed | None:
    """The token shard, if it is there and current. Its parts are not asked for."""
    known = state.load(state.path_of(task.root, STATE, task.name))
    shard = state.finished(task.root, known, task.identity)
    if shard is None:
        return None
    return Packed(split=task.split, source=task.source, shard=shard, tokens=known["tokens"], highest_id=known["highest_id"])


def pack_shard(task: PackTask) -> Packed | None:
    """Lay out one token shard. None if it has no document. Raises CorruptFile."""
    tables = [_documents(task, part) for part in task.parts]
    if not any(table.num_rows for table in tables):
        return None
    shard, facts = _lay_out(task, tables)
    state.record_shard(task.root, STATE, shard, task.identity, **facts)
    return Packed(split=task.split, source=task.source, shard=shard, **facts)


def _documents(task: PackTask, part: Part | GatheredPart) -> pa.Table:
    """The documents of `part` that belong in the token shard, in its order.

    `token_offset` is the place in the part's payload.
    """
    border = first_place_of_train(task.config.validation_fraction)
    low, high = (0, border) if task.split == "val" else (border, LAST_PLACE)
    if task.config.shuffle or isinstance(part, GatheredPart):
        width = high - low
        return within(table_of(task.root, part), *(low + width * at // task.places for at in (task.place, task.place + 1)))
    table = shards.read(task.root, part.documents).cast(PLAIN)
    place = table["place"].to_numpy()
    # The upper bound is inclusive, because 2**64 does not fit into uint64.
    rows = np.flatnonzero((place >= np.uint64(low)) & (place <= np.uint64(high - 1)))
    rows = rows[np.argsort(table["row"].to_numpy()[rows])]
    starts = part.first_token + offsets(table["tokens"].to_numpy()[rows])
    rows = rows[starts // task.config.shard_tokens == task.place]
    return table.take(pa.array(rows[~np.isin(rows, np.array(part.forgotten, dtype=np.int64))]))


def _lay_out(task: PackTask, tables: Sequence[pa.Table]) -> tuple[Shard, dict[str, int]]:
    documents, ids = laid_together(task.root, task.parts, tables, task.dtype, by_place=task.config.shuffle)
    written = write_shard(task.root, task.split, task.number, end_to_end(ids), documents, task.dtype)
    text_bytes, tokens = (int(pc.sum(documents[name]).as_py()) for name in ("text_bytes", "tokens"))
    rows = documents.num_rows
    counts = Counts(read=rows, kept=rows, bytes_in=text_bytes, bytes_kept=text_bytes)
    return Shard(name=task.name, files=written.files, counts=counts), {"tokens": tokens, "highest_id": written.highest_id}
