"""Makes the verdicts of removed documents, with their evidence.

Guarantee: a copy of a removed text names the document that this text names.
Cost: linear in removed documents. Two sorts outside memory give a removed document what it names, and take it back to its
shard: 136 bytes for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run
from tokenmill.pipeline.stages.dedup.collected import of_shard, rows_of
from tokenmill.pipeline.stages.dedup.exact import Distinct
from tokenmill.pipeline.stages.dedup.followed import FATE, follow
from tokenmill.pipeline.stages.dedup.resolve import EXACT, KEPT, REMOVED, SAME, Decision
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.shares import shares

EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
MOST = 2**31 - 1
"""The largest cluster size that a verdict can say."""
NAMES = ("<u8", "<u8", "<u8", "<u8")
"""See `exact.Distinct`."""
PLACED = REMOVED
"""A run of removed documents: the rank that is kept, place, similarity, both sizes, and EXACT, NEAR or REVISED."""
DECIDED = ("<u8", "<f8", "<u4", "<u4", "<u8", "<u8", "<u8", "<u8")
"""A run of the documents that duplicate others, and of those that they name: place, similarity, both sizes, KEPT to REVISED,
cluster size, and both halves of the `doc_id` of the kept document."""

VERDICT = pa.schema(
    [
        schema.REASON,
        pa.field("kept_doc_id", schema.DOC_ID.type),
        pa.field("jaccard", pa.float64()),
        pa.field("contained", pa.float64()),
        pa.field("contains", pa.float64()),
        pa.field("lost_ngrams", pa.int64()),
        pa.field("cluster_size", pa.int32()),
        pa.field("compared", pa.dictionary(pa.int32(), pa.string())),
        pa.field("same_key_doc_id", schema.DOC_ID.type),
    ]
)
"""All but `reason` and `cluster_size` are null for a kept row. `contained`: the share of the n-grams of the removed document
that stand in the kept one; `contains`: the share of those of the kept one that stand in the removed one; `lost_ngrams`: those
of the removed one that the kept one lacks. `cluster_size` counts a kept document and those that name it. `compared` says in
words what of the two texts was compared, and how it was normalised. Of a document that shares a key, texts were not compared,
and `same_key_doc_id` is the one with its key, for which `kept_doc_id` stands."""


@dataclass(frozen=True, kw_only=True)
class _Placing:
    removed: Sequence[Run]
    copies: Sequence[Run]
    names: Sequence[Run]
    within: Range
    rows: int
    folder: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class _Naming:
    placed: Sequence[Run]
    names: Sequence[Run]
    within: Range
    rows: int
    folder: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class _FollowedRange:
    fates: Sequence[Run]
    within: Range
    why: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class ShardVerdicts:
    """The verdicts of one shard: a task reads them where it publishes them. Picklable."""

    number: int
    alive: int
    decided: Sequence[Run]
    config: DedupConfig
    left: Sequence[Run]
    """Runs of `keys.SHARED`."""

    def read(self) -> pa.RecordBatch:
        """The verdicts of the rows alive, in their order. Raises OSError."""
        place, similarity, mine, other, why, size, *ids = runs.read(self.decided, of_shard(self.number), DECIDED)
        rows, found = rows_of(place), shares(similarity, mine, other)
        reasons, sizes = np.zeros(self.alive, dtype=np.int32), np.ones(self.alive, dtype=np.int32)
        reasons[rows], sizes[rows] = why, size
        kept = reasons == KEPT
        names = [schema.KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE, NEAR_DUPLICATE, *self.config.key_reasons]
        said = ["", *self.config.compared, *(f"the key {key}" for key in self.config.keys)]
        place, _, *sharing = runs.read(self.left, of_shard(self.number), ("<u8",) * 4)
        columns = [
            _named(reasons, names),
            _ids(ids, rows, ~kept),
            *(
                pa.array(_scattered(column, rows, self.alive), mask=kept | (reasons >= SAME))
                for column in (similarity, found.contained, found.contains, found.lost_ngrams)
            ),
            pa.array(sizes),
            _named(reasons, said, mask=kept),
            _ids(sharing, rows_of(place), reasons >= SAME),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=VERDICT)


def verdicts(
    decision: Decision,
    distinct: Distinct,
    alive: npt.NDArray[np.int64],
    config: DedupConfig,
    means: Means,
    left: Sequence[Sequence[Run]],
) -> tuple[list[ShardVerdicts], int]:
    """The verdicts of each shard's rows alive, in order, and the number of clusters of more than one document.

    `left`: the documents that left for each of `dedup.keys`, as `keys.shared` gives them. Raises OSError.
    """
    removed = sort.merge(means, decision.runs, "removed")
    rows = means.rows([*REMOVED, *PLACED])
    placing = [
        _Placing(
            removed=removed,
            copies=distinct.copies,
            names=distinct.names,
            within=within,
            rows=rows,
            folder=means.folder,
            name=f"placed-{number}",
        )
        for number, within in enumerate(runs.ranges([*removed, *distinct.copies, *distinct.names], rows))
    ]
    placed = sort.merge(means, [run for part in means.executor.map(_place, placing) for run in part], "placed")
    for number, fates in enumerate(follow(left, placed, distinct.names, means)):
        sharing = [
            _FollowedRange(fates=fates, within=within, why=SAME + number, path=means.folder / f"same-{number}-{at}")
            for at, within in enumerate(runs.ranges(fates, rows) if fates else [])
        ]
        placed = [*placed, *means.executor.map(_share, sharing)]
    placed = sort.merge(means, placed, "all-placed")
    naming = [
        _Naming(placed=placed, names=distinct.names, within=within, rows=rows, folder=means.folder, name=f"decided-{number}")
        for number, within in enumerate(runs.ranges([*placed, *distinct.names], rows))
    ]
    named = means.executor.map(_name, naming)
    decided = sort.merge(means, [run for part, _ in named for run in part], "decided")
    found = [
        ShardVerdicts(
            number=number, alive=int(count), decided=decided, config=config, left=[run for part in left for run in part]
        )
        for number, count in enumerate(alive)
    ]
    return found, sum(clusters for _, clusters in named)


def _scattered(values: Array, rows: npt.NDArray[np.int64], count: int) -> Array:
    """`count` values: those given at their `rows`, and zeros."""
    found = np.zeros(count, dtype=values.dtype)
    found[rows] = values
    return found


def _named(codes: npt.NDArray[np.int32], names: Sequence[str], *, mask: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """A name for each code. Each stands in the dictionary once: one that repeats a value has other bytes from run to run."""
    distinct = list(dict.fromkeys(names[1:] if mask is not None else names))
    places = np.array([distinct.index(name) if name in distinct else 0 for name in names], dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(places[codes], mask=mask), distinct)


def _ids(halves: Sequence[Array], rows: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_]) -> pa.Array:
    """A `doc_id` at each of the `rows`, and null where not `valid`."""
    found = np.zeros((len(valid), 2), dtype=">u8")
    found[rows] = np.stack(halves, axis=1)
    return pa.FixedSizeBinaryArray.from_buffers(
        schema.DOC_ID.type, len(valid), [pa.array(valid).buffers()[1], pa.py_buffer(found)]
    )


def _share(task: _FollowedRange) -> Run:
    """Documents that left for a key, by the rank that is kept."""
    place, keeper = runs.read(task.fates, task.within, FATE)
    none = np.zeros(len(place), dtype=np.uint32)
    why = np.full(len(place), task.why, dtype=np.uint64)
    return runs.write_sorted(task.path, keeper, place, np.ones(len(place)), none, none, why)


def _place(task: _Placing) -> list[Run]:
    """Removed documents, leaders and copies, by the rank that is kept."""
    rank, keeper, *why = runs.read(task.removed, task.within, REMOVED)
    ranks, places, *_ = runs.read(task.names, task.within, NAMES)
    written: list[Run] = []

    def write(columns: Sequence[Array]) -> None:
        written.append(runs.write_sorted(task.folder / f"{task.name}-{len(written)}.made", *columns))

    if len(rank):
        write([keeper, places[np.searchsorted(ranks, rank)], *why])
    for leader, place in _pieces([run.within(task.within) for run in task.copies], task.rows):
        none = np.zeros(len(leader), dtype=np.uint32)
        named = [leader.copy(), np.ones(len(leader)), none, none.copy(), np.full(len(leader), EXACT, dtype=np.uint64)]
        if len(rank):
            at = np.minimum(np.searchsorted(rank, leader), len(rank) - 1)
            goes = rank[at] == leader
            for column, values in zip(named, (keeper, *why), strict=True):
                column[goes] = values[at[goes]]
        write([named[0], place, *named[1:]])
    return written


def _pieces(parts: Sequence[Sequence[Array]], rows: int) -> Sequence[list[Array]]:
    """The rows of all parts, so many at a time."""
    return [[column[at : at + rows] for column in part] for part in parts for at in range(0, len(part[0]), rows)]


def _name(task: _Naming) -> tuple[list[Run], int]:
    """What the documents of `placed`, and those that are kept for them, get as verdicts; and the number of those."""
    parts = [run.within(task.within) for run in task.placed]
    ranks, places, *ids = runs.read(task.names, task.within, NAMES)
    written: list[Run] = []
    clusters, last = 0, -1
    for keeper, place, *evidence in sort.ordered(parts, 1, task.rows):
        kept = runs.distinct(keeper)
        # A cluster may go on in the next block, so it is counted where it stands.
        sizes = np.ones(len(kept), dtype=np.int64)
        for part in parts:
            sizes += np.searchsorted(part[0], kept, "right") - np.searchsorted(part[0], kept, "left")
        at, named = np.searchsorted(kept, keeper), np.searchsorted(ranks, kept)
        new = slice(int(int(kept[0]) == last), None)
        zeros = np.zeros(len(kept[new]), dtype=np.uint64)
        columns = [
            np.concatenate([place, places[named[new]]]),
            *(np.concatenate([column, zeros.astype(column.dtype)]) for column in evidence),
            np.minimum(np.concatenate([sizes[at], sizes[new]]), MOST).astype(np.uint64),
            *(np.concatenate([half[named[at]], zeros]) for half in ids),
        ]
        written.append(runs.write_sorted(task.folder / f"{task.name}-{len(written)}.made", *columns))
        clusters, last = clusters + len(zeros), int(kept[-1])
    return written, clusters
