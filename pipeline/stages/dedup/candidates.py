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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import Misaligned
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run
from tokenmill.pipeline.kernels.dedup.candidates import band_keys, bucket_pairs
from tokenmill.pipeline.stages.dedup.collected import ROWS, Scored, grouped, of_shard
from tokenmill.pipeline.stages.dedup.signatures import integers

BAND = ("<u8", "<u8")
"""A run of bands: key and rank."""
PAIR = ("<u8", "<u8")
"""A run of pairs: the higher and the lower rank."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Candidate pairs, and the buckets in which not all pairs are candidates."""

    runs: list[Run]
    """Runs of PAIR, ordered by both, at most `fan_in`. A pair may come in several of them."""
    total: int
    """The number of pairs. A pair that shares several bands counts once per range of keys."""
    capped: list[Run]
    """Keys and ranks of these buckets, sorted by both. A bucket lies in one run. Empty in the result of `pair_again`."""
    buckets: int
    """Buckets that are not compared in full, over all bands."""
    members: int
    """Documents in these buckets, counted once per bucket."""
    left_out: int
    """Pairs of these buckets that are not candidates, counted once per bucket."""


@dataclass(frozen=True, kw_only=True)
class _Banding:
    scored: Sequence[Scored]
    first: int
    """The number of the first of these shards."""
    alive: npt.NDArray[np.int64]
    """Rows alive of each of them."""
    leaders: Sequence[Run]
    width: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Pairing:
    bands: Sequence[Run]
    within: Range
    limit: int
    folder: Path
    name: str
    rows: int
    removed: Path | None = None
    """A file of bits, as `survivors` has them: removed ranks are not paired."""


def band(scored: Sequence[Scored], alive: npt.NDArray[np.int64], leaders: Sequence[Run], width: int, means: Means) -> list[Run]:
    """Write the bands of the leaders that have any, `width` each, as runs. Raises CorruptFile, Misaligned, OSError."""
    tasks = [
        _Banding(
            scored=scored[part],
            first=part.start,
            alive=alive[part],
            leaders=leaders,
            width=width,
            path=means.folder / f"bands-{number}.made",
        )
        for number, part in enumerate(grouped(scored, max(1, means.rows(BAND) // width)))
    ]
    return sort.merge(means, means.executor.map(_write_bands, tasks), "bands")


def _write_bands(task: _Banding) -> Run:
    keys, ranks = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for number, ((view, named), alive) in enumerate(zip(task.scored, task.alive, strict=True), task.first):
        table = shards.read(view.root, named, ["exact", "bands"])
        # Scores are null where an earlier stage dropped the row.
        table = table.filter(table["exact"].is_valid())
        if table.num_rows != alive:
            raise Misaligned(f"{named[0]}: {table.num_rows} rows of signatures for {alive} documents alive")
        place, rank = runs.read(task.leaders, of_shard(number), PAIR)
        rows = (place & np.uint64(ROWS)).astype(np.int64)
        banded = np.asarray(table["bands"].is_valid().to_numpy(), dtype=np.bool_)[rows]
        key = np.empty(int(banded.sum()) * task.width, dtype=np.uint64)
        band_keys(integers(table["bands"], task.width)[rows[banded]], key)
        keys.append(key)
        ranks.append(np.repeat(rank[banded], task.width))
    key, rank = np.concatenate(keys), np.concatenate(ranks)
    order = np.argsort(key)
    return runs.write(task.path, key[order], rank[order])


def pair(bands: Sequence[Run], limit: int, means: Means) -> Pairs:
    """The candidate pairs of documents that share a key, as `bucket_pairs` chooses them. Raises OSError."""
    rows = means.rows(BAND)
    tasks = [
        _Pairing(bands=bands, within=within, limit=limit, folder=means.folder, name=f"0-{number}", rows=rows)
        for number, within in enumerate(runs.ranges(bands, rows))
    ]
    return _together(means.executor.map(_pair, tasks), "pairs-0", means)


def pair_again(capped: Sequence[Run], removed: Path, turn: int, limit: int, means: Means) -> Pairs:
    """The candidate pairs among documents that are not `removed`, of the buckets that `pair` found too large."""
    rows = means.rows(BAND)
    tasks = [
        _Pairing(
            bands=[run], within=runs.ALL, limit=limit, folder=means.folder, name=f"{turn}-{number}", rows=rows, removed=removed
        )
        for number, run in enumerate(capped)
    ]
    return _together(means.executor.map(_pair, tasks), f"pairs-{turn}", means)


def _together(parts: Sequence[Pairs], name: str, means: Means) -> Pairs:
    return Pairs(
        runs=sort.merge(means, [run for part in parts for run in part.runs], name, by=2, reduce=distinct_pairs),
        total=sum(part.total for part in parts),
        capped=[run for part in parts for run in part.capped],
        buckets=sum(part.buckets for part in parts),
        members=sum(part.members for part in parts),
        left_out=sum(part.left_out for part in parts),
    )


def _pair(task: _Pairing) -> Pairs:
    keys, ranks = runs.read(task.bands, task.within, BAND)
    members = np.empty(0, dtype=np.int64)
    if task.removed is not None:
        kept = ~is_set(runs.load(task.removed, np.uint8), ranks)
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
    before = place if task.removed is None else members[order]
    near = task.limit // 2 * (before + 1) // (place + 1)
    near = np.where(place < task.limit, place, np.minimum(near, place))
    left_out = np.maximum(place - near - 1, 0)
    over = np.add.reduceat(left_out, bounds[:-1]) > 0 if len(place) else np.zeros(0, dtype=np.bool_)
    sizes = np.diff(bounds)
    capped = np.repeat(over & (task.removed is None), sizes)
    written = list(_write_pairs(task, place, near, ranks))
    return Pairs(
        runs=written,
        total=sum(run.rows for run in written),
        capped=[runs.write(task.folder / f"capped-{task.name}", keys[capped], ranks[capped])] if capped.any() else [],
        buckets=int(over.sum()),
        members=int(sizes[over].sum()),
        left_out=int(left_out.sum()),
    )


def _write_pairs(
    task: _Pairing, place: npt.NDArray[np.int64], near: npt.NDArray[np.int64], ranks: npt.NDArray[np.uint64]
) -> Iterator[Run]:
    room = max(task.rows, int(near.max(initial=0)) + 1)
    higher, lower = np.empty((2, min(room, int(near.sum()) + len(near) + 1)), dtype=np.uint64)
    at = number = 0
    while at < len(ranks):
        at, filled = bucket_pairs(place, near, ranks, at, higher, lower)
        found = distinct_pairs([column[:filled] for column in (higher, lower)], ordered=False)
        yield runs.write(task.folder / f"pairs-{task.name}-{number}.made", *found)
        number += 1


def distinct_pairs(pairs: Sequence[Array], *, ordered: bool = True) -> list[Array]:
    """Each pair once, by the higher and then the lower rank. `ordered`: they come in this order."""
    columns = list(pairs)
    if not ordered:
        order = runs.order(columns, 2)
        columns = [column[order] for column in columns]
    new = np.ones(len(columns[0]), dtype=np.bool_)
    new[1:] = (columns[0][1:] != columns[0][:-1]) | (columns[1][1:] != columns[1][:-1])
    return [column[new] for column in columns]


def is_set(bits: npt.NDArray[np.uint8], ranks: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """The bit of each rank, as `survivors` has them."""
    return (bits[(ranks >> np.uint64(3)).astype(np.int64)] >> (ranks & np.uint64(7)).astype(np.uint8) & 1).astype(np.bool_)


def _bounds(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where the buckets of sorted keys begin, and where the last one ends. int64 [buckets + 1]"""
    begins = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([[0], begins, [len(keys)]]) if len(keys) else np.zeros(1, dtype=np.int64)


def _places(bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The position of each member in its bucket, from 0."""
    return np.arange(bounds[-1]) - np.repeat(bounds[:-1], np.diff(bounds))
