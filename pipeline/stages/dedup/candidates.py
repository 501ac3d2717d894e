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
Cost: 16 bytes per document and band on disk, written and read once, and once more for each round of merging. A worker holds a
block of bands, however large a bucket is (`buckets`). At most limit / 2 + 1 pairs per document and band, except for the first
`limit` documents, and as many again in each call of `pair_again`; 16 bytes for each.
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
from tokenmill.pipeline.stages.dedup.buckets import BucketBlock, blocks
from tokenmill.pipeline.stages.dedup.collected import Scored, grouped, of_shard, rows_of
from tokenmill.pipeline.stages.dedup.signatures import integers

BAND = ("<u8", "<u8")
"""A run of bands, ordered by both: key and rank."""
PAIR = ("<u8", "<u8")
"""A run of pairs: the higher and the lower rank."""

WIDE = 3
"""Pairing holds, beside a band, as much again twice: its bucket, its place and what it is paired with."""


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
    return sort.merge(means, means.executor.map(_write_bands, tasks), "bands", by=2)


def _write_bands(task: _Banding) -> Run:
    keys, ranks = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for number, ((view, named), alive) in enumerate(zip(task.scored, task.alive, strict=True), task.first):
        table = shards.read(view.root, named, ["exact", "bands"])
        # Scores are null where an earlier stage dropped the row.
        table = table.filter(table["exact"].is_valid())
        if table.num_rows != alive:
            raise Misaligned(f"{named[0]}: {table.num_rows} rows of signatures for {alive} documents alive")
        place, rank = runs.read(task.leaders, of_shard(number), PAIR)
        rows = rows_of(place)
        banded = np.asarray(table["bands"].is_valid().to_numpy(), dtype=np.bool_)[rows]
        key = np.empty(int(banded.sum()) * task.width, dtype=np.uint64)
        band_keys(integers(table["bands"], task.width)[rows[banded]], key)
        keys.append(key)
        ranks.append(np.repeat(rank[banded], task.width))
    return runs.write_sorted(task.path, np.concatenate(keys), np.concatenate(ranks), by=2)


def pair(bands: Sequence[Run], limit: int, means: Means) -> Pairs:
    """The candidate pairs of documents that share a key, as `bucket_pairs` chooses them. Raises OSError."""
    rows = means.rows(BAND * WIDE)
    tasks = [
        _Pairing(bands=bands, within=within, limit=limit, folder=means.folder, name=f"0-{number}", rows=rows)
        for number, within in enumerate(runs.ranges(bands, rows))
    ]
    return _together(means.executor.map(_pair, tasks), "pairs-0", means)


def pair_again(capped: Sequence[Run], removed: Path, turn: int, limit: int, means: Means) -> Pairs:
    """The candidate pairs among documents that are not `removed`, of the buckets that `pair` found too large."""
    rows = means.rows(BAND * WIDE)
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
    parts = [run.within(task.within) for run in task.bands]
    rows = sum(len(part[0]) for part in parts)
    removed = None if task.removed is None else runs.load(task.removed, np.uint8)
    written: list[Run] = []
    buckets = members = left_out = 0
    capped = task.folder / f"capped-{task.name}"
    with runs.growing(capped, BAND, rows) as over:
        for block in blocks(sort.ordered(parts, 2, task.rows), task.limit, rows, removed):
            for pairs in _pairs(block, task.rows):
                written.append(runs.write(task.folder / f"pairs-{task.name}-{len(written)}.made", *pairs))
            if removed is None:
                over.add(block.over)
            buckets, members, left_out = buckets + block.buckets, members + block.members, left_out + block.left_out
    found = over.run()
    if not found.rows:
        runs.remove([found])
    return Pairs(
        runs=written,
        total=sum(run.rows for run in written),
        capped=[found] if found.rows else [],
        buckets=buckets,
        members=members,
        left_out=left_out,
    )


def _pairs(block: BucketBlock, rows: int) -> Iterator[list[Array]]:
    """The pairs of a block, each once, about `rows` at a time."""
    room = max(rows, int(block.near.max(initial=0)) + 1)
    higher, lower = np.empty((2, min(room, int(block.near.sum()) + len(block.near) + 1)), dtype=np.uint64)
    at = block.at
    while at < len(block.ranks):
        at, filled = bucket_pairs(block.place, block.near, block.first, block.ranks, at, higher, lower)
        if filled:
            yield distinct_pairs([higher[:filled], lower[:filled]], ordered=False)


def distinct_pairs(pairs: Sequence[Array], *, ordered: bool = True) -> list[Array]:
    """Each pair once, by the higher and then the lower rank. `ordered`: they come in this order."""
    columns = list(pairs)
    if not ordered:
        order = runs.order(columns, 2)
        columns = [column[order] for column in columns]
    new = np.ones(len(columns[0]), dtype=np.bool_)
    new[1:] = (columns[0][1:] != columns[0][:-1]) | (columns[1][1:] != columns[1][:-1])
    return [column[new] for column in columns]
