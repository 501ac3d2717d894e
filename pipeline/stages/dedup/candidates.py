"""Candidates: pairs of documents that share a band.

Purpose: `band` writes the bands of all documents as runs sorted by key. `pair` reads the runs range by range and makes pairs
within each bucket: the documents that share a key, in survivor order. The first `limit` documents of a bucket are paired with
all before them. A later document is paired with the first one, and with the limit // 2 documents before it: as many as a
document has on average in the largest bucket that is compared in full. Neighbours in survivor order have similar lengths if
the survivor policy looks at length, so likely copies are near. `pair_again` does the same among documents that are still kept.
If nine of ten documents before one have been removed from its bucket, it is paired with ten times as many.
Guarantee: the pairs are the same for any order and grouping of documents, any number of workers and any cut into ranges. Which
earlier documents a document is paired with does not depend on later ones, so documents added at the end of the survivor order
change no earlier decision. A pair that shares several bands may come in several runs; `verify` removes the repetitions.
Buckets that are not compared in full are counted.
Cost: 12 bytes per document and band on disk, written and read once. A worker holds RECORDS bands, about 200 MB, or the largest
bucket. At most limit / 2 + 1 pairs per document and band, except for the first `limit` documents, and as many again in each
call of `pair_again`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import Misaligned
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.runs import Range, Run
from tokenmill.pipeline.kernels.dedup.candidates import band_keys, bucket_pairs
from tokenmill.pipeline.stages.dedup.collected import Documents, Scored, integers
from tokenmill.pipeline.stages.dedup.exact import Groups

RECORDS = 4_000_000
"""Bands per run and per range (approximate)."""
PAIRS = 4_000_000
"""Most pairs per run."""
NOT_BANDED = 2**32 - 1
"""Stands for the rank of a document that is not compared by bands."""
BAND = ("<u8", "<u4")
"""A run of bands: key and rank."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Candidate pairs, and the buckets in which not all pairs are candidates."""

    runs: list[Run]
    """Pairs in the encoding of `kernels.dedup.candidates`. Each run is sorted and holds a pair once."""
    capped: list[Run]
    """Keys and ranks of these buckets, sorted by both. A bucket lies in one run. Empty in the result of `pair_again`."""
    buckets: int
    """Buckets that are not compared in full, over all bands."""
    members: int
    """Documents in these buckets, counted once per bucket."""
    left_out: int
    """Pairs of these buckets that are not candidates, counted once per bucket."""

    @property
    def total(self) -> int:
        """The number of pairs. A pair that shares several bands counts once per range of keys."""
        return sum(run.rows for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class _Banding:
    scored: Sequence[Scored]
    ranks: Sequence[npt.NDArray[np.uint32]]
    """For each shard, the ranks of its rows alive; NOT_BANDED for rows that do not take part."""
    width: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Pairing:
    bands: Sequence[Run]
    within: Range
    limit: int
    folder: Path
    name: str
    kept: Path | None = None
    """A file of bool [ranks]: only these ranks are paired."""


def band(
    scored: Sequence[Scored], documents: Documents, groups: Groups, width: int, folder: Path, executor: Executor
) -> list[Run]:
    """Write the bands of the leaders that have any, `width` each, as runs below `folder`. Raises CorruptFile, Misaligned."""
    ranks = np.full(len(documents.banded), NOT_BANDED, dtype=np.uint32)
    leaders = groups.rows[documents.banded[groups.rows]]
    ranks[leaders] = groups.rank[leaders]
    by_shard, starts = np.split(ranks, documents.starts[1:-1]), documents.starts
    # A task takes shards until it has about RECORDS bands, so a large corpus makes no more runs than needed.
    fill = np.searchsorted(starts, np.arange(0, starts[-1], max(1, RECORDS // width)))
    cuts = np.unique([0, *fill, len(scored)])
    tasks = [
        _Banding(scored=scored[a:b], ranks=by_shard[a:b], width=width, path=folder / f"bands-{number}")
        for number, (a, b) in enumerate(itertools.pairwise(cuts))
    ]
    return executor.map(_write_bands, tasks)


def _write_bands(task: _Banding) -> Run:
    keys, ranks = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
    for (view, named), mine in zip(task.scored, task.ranks, strict=True):
        table = shards.read(view.root, named, ["exact", "bands"])
        # Scores are null where an earlier stage dropped the row.
        bands = integers(table.filter(table["exact"].is_valid())["bands"], task.width)
        if len(bands) != len(mine):
            raise Misaligned(f"{named[0]}: {len(bands)} rows of signatures for {len(mine)} documents alive")
        chosen = mine != NOT_BANDED
        key = np.empty(int(chosen.sum()) * task.width, dtype=np.uint64)
        band_keys(bands[chosen], key)
        keys.append(key)
        ranks.append(np.repeat(mine[chosen], task.width))
    key, rank = np.concatenate(keys), np.concatenate(ranks)
    order = np.argsort(key)
    return runs.write(task.path, key[order], rank[order])


def pair(bands: Sequence[Run], limit: int, folder: Path, executor: Executor) -> Pairs:
    """The candidate pairs of documents that share a key, as `bucket_pairs` chooses them. Raises OSError."""
    tasks = [
        _Pairing(bands=bands, within=within, limit=limit, folder=folder, name=f"0-{number}")
        for number, within in enumerate(runs.ranges(bands, RECORDS))
    ]
    return _together(executor.map(_pair, tasks))


def pair_again(capped: Sequence[Run], kept: Path, turn: int, limit: int, folder: Path, executor: Executor) -> Pairs:
    """The candidate pairs among kept documents (`kept`: a file of bool [ranks]) of the buckets that `pair` found too large."""
    tasks = [
        _Pairing(bands=[run], within=runs.ALL, limit=limit, folder=folder, name=f"{turn}-{number}", kept=kept)
        for number, run in enumerate(capped)
    ]
    return _together(executor.map(_pair, tasks))


def _together(parts: Sequence[Pairs]) -> Pairs:
    return Pairs(
        runs=[run for part in parts for run in part.runs],
        capped=[run for part in parts for run in part.capped],
        buckets=sum(part.buckets for part in parts),
        members=sum(part.members for part in parts),
        left_out=sum(part.left_out for part in parts),
    )


def _pair(task: _Pairing) -> Pairs:
    keys, ranks = runs.read(task.bands, task.within, BAND)
    members = np.empty(0, dtype=np.int64)
    if task.kept is not None:
        kept = runs.load(task.kept, np.bool_)[ranks]
        keys, ranks, members = keys[kept], ranks[kept], _places(_bounds(keys))[kept]
    # Most keys belong to one document only, so only the others are sorted by rank too.
    order = np.argsort(keys)
    sizes = np.diff(_bounds(keys[order]))
    order = order[np.repeat(sizes > 1, sizes)]
    order = order[np.lexsort((ranks[order], keys[order]))]
    keys, ranks = keys[order], ranks[order]
    bounds = _bounds(keys)
    place = _places(bounds)
    # The fewer documents before one are kept, the more of them it is compared with, so each round costs about the same.
    before = place if task.kept is None else members[order]
    near = task.limit // 2 * (before + 1) // (place + 1)
    near = np.where(place < task.limit, place, np.minimum(near, place))
    left_out = np.maximum(place - near - 1, 0)
    over = np.add.reduceat(left_out, bounds[:-1]) > 0 if len(place) else np.zeros(0, dtype=np.bool_)
    sizes = np.diff(bounds)
    capped = np.repeat(over & (task.kept is None), sizes)
    return Pairs(
        runs=list(_write_pairs(task, place, near, ranks)),
        capped=[runs.write(task.folder / f"capped-{task.name}", keys[capped], ranks[capped])] if capped.any() else [],
        buckets=int(over.sum()),
        members=int(sizes[over].sum()),
        left_out=int(left_out.sum()),
    )


def _write_pairs(
    task: _Pairing, place: npt.NDArray[np.int64], near: npt.NDArray[np.int64], ranks: npt.NDArray[np.uint32]
) -> Iterator[Run]:
    out = np.empty(max(PAIRS, int(near.max(initial=0)) + 1), dtype=np.uint64)
    at = number = 0
    while at < len(ranks):
        at, filled = bucket_pairs(place, near, ranks, at, out)
        yield runs.write(task.folder / f"pairs-{task.name}-{number}", runs.distinct(out[:filled]))
        number += 1


def _bounds(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where the buckets of sorted keys begin, and where the last one ends. int64 [buckets + 1]"""
    begins = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([[0], begins, [len(keys)]]) if len(keys) else np.zeros(1, dtype=np.int64)


def _places(bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The position of each member in its bucket, from 0."""
    return np.arange(bounds[-1]) - np.repeat(bounds[:-1], np.diff(bounds))
