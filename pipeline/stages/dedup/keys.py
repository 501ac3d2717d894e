"""Documents that share a key: a URL, or what stands under a name in their metadata.

Purpose: a page that was fetched twice, or a record that two dumps hold, is one document whatever became of its text. Of the
documents with one key, the first in survivor order goes on, and the others leave before texts are compared; key by key, in the
order of `dedup.keys`.
Guarantee: keys are equal if their canonical texts are, by a hash of 128 bits that nobody can make collide. A document without
the key (no URL, no such name, null or "") shares it with none. A removed document names the one that shares its key
(`same_key_doc_id`), and the kept one: that document itself, or the one which that document duplicates.
Cost: one read of URLs or metadata in workers, 1 to 4 us per document and key; two sorts outside memory of its survivor keys and
24 bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run
from tokenmill.pipeline.stages import addresses
from tokenmill.pipeline.stages.dedup.collected import Scored, columns_of, grouped, leaves
from tokenmill.pipeline.stages.dedup.settings import METADATA, URL, DedupConfig
from tokenmill.pipeline.stages.dedup.survivor import SurvivorCriterion

HASH_BYTES = 16
SHARED = ("<u8", "<u8", "<u8", "<u8")
"""A run of the documents that leave: place, the place of the document that shares the key, and both halves of its `doc_id`."""


@dataclass(frozen=True, kw_only=True)
class _Keying:
    scored: Sequence[Scored]
    first: int
    """The number of the first of these shards."""
    criteria: Sequence[Sequence[SurvivorCriterion]]
    config: DedupConfig
    key: str
    left: Sequence[Run]
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Sharing:
    keyed: Sequence[Run]
    within: Range
    rows: int
    folder: Path
    name: str


def shared(
    scored: Sequence[Scored], config: DedupConfig, criteria: Sequence[Sequence[SurvivorCriterion]], means: Means
) -> list[list[Run]]:
    """For each of `dedup.keys`, the documents that leave: runs of SHARED, by place. Raises Misaligned, CorruptFile, OSError."""
    found: list[list[Run]] = []
    for number, key in enumerate(config.keys):
        tasks = [
            _Keying(
                scored=scored[part],
                first=part.start,
                criteria=criteria[part],
                config=config,
                key=key,
                left=[run for parts in found for run in parts],
                path=means.folder / f"keyed-{number}-{at}",
            )
            for at, part in enumerate(grouped(scored, means.rows(["<u8"] * 16)))
        ]
        written = means.executor.map(_key, tasks)
        by = len(written[0].kinds) - 1 if written else 1
        keyed = sort.merge(means, written, f"keyed-{number}", by=by)
        rows = means.rows(["<u8"] * (by + 1))
        sharing = [
            _Sharing(keyed=keyed, within=within, rows=rows, folder=means.folder, name=f"shared-{number}-{at}")
            for at, within in enumerate(runs.ranges(keyed, rows) if keyed else [])
        ]
        parts = means.executor.map(_share, sharing)
        runs.remove(keyed)
        found.append(sort.merge(means, [run for part in parts for run in part], f"shared-{number}"))
    return found


@dataclass(frozen=True, kw_only=True)
class KeyHashes:
    """The keys of the rows alive of a shard."""

    rows: npt.NDArray[np.int64]
    """[alive]: their row numbers in the shard."""
    hashes: npt.NDArray[np.uint64]
    """[alive, 2]"""
    there: npt.NDArray[np.bool_]
    """[alive]: which of them have the key."""


def hashes_of(view: View, key: str) -> KeyHashes:
    """The keys of a shard's documents. Raises what reading raises."""
    column = URL if key == URL else METADATA
    alive = view.read([column])
    values = alive.table[column].to_pylist()
    texts = [_url(one) for one in values] if key == URL else [_at(one, key.split(".")[1:]) for one in values]
    joined = b"".join(hashlib.blake2b(text or b"", digest_size=HASH_BYTES).digest() for text in texts)
    return KeyHashes(
        rows=alive.rows,
        hashes=np.frombuffer(joined, dtype="<u8").reshape(-1, 2),
        there=np.array([text is not None for text in texts], dtype=np.bool_),
    )


def _url(url: str | None) -> bytes | None:
    return addresses.key(url).encode() if url else None


def _at(metadata: str, names: Sequence[str]) -> bytes | None:
    """The value under these names as JSON: in the metadata, or in the fields of the record. None for null and ""."""
    plain = json.loads(metadata)
    for table in (plain, plain.get("fields")):
        found: Any = table
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None and found != "":
            return files.canonical_json(found)
    return None


def _key(task: _Keying) -> Run:
    blocks: list[list[Array]] = []
    for number, (one, criteria) in enumerate(zip(task.scored, task.criteria, strict=True), task.first):
        columns, _ = columns_of(*one, number, criteria, task.config)
        keys = hashes_of(one[0], task.key)
        there = keys.there.copy()
        there[leaves(task.left, number)] = False
        blocks.append([*keys.hashes[there].T, *(column[there] for column in columns[:-2])])
    columns = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return runs.write_sorted(task.path, *columns, by=len(columns) - 1)


def _share(task: _Sharing) -> list[Run]:
    written: list[Run] = []
    before: tuple[int, int] | None = None
    leader = np.zeros((1, 3), dtype=np.uint64)
    parts = [run.within(task.within) for run in task.keyed]
    for columns in sort.ordered(parts, len(task.keyed[0].kinds) - 1, task.rows):
        one, other, *_, high, low, place = columns
        begins = np.ones(len(one), dtype=np.bool_)
        begins[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
        begins[0] = before != (int(one[0]), int(other[0]))
        mine = np.stack([place, high, low], axis=1)
        # A group may have begun in the block before.
        known = np.concatenate([leader, mine[begins]])[np.cumsum(begins)]
        before, leader = (int(one[-1]), int(other[-1])), known[-1:]
        if not begins.all():
            named = known[~begins].T
            written.append(runs.write_sorted(task.folder / f"{task.name}-{len(written)}.made", place[~begins], *named))
    return written
