"""Decides which documents are kept, and makes the verdicts with their evidence.

Guarantee: distinct texts are visited in survivor order, and a text is kept unless it has an edge to a kept one. So every
removed document names a kept document, at a similarity that reaches the threshold, and loses at most `dedup.loses` of its
n-grams to it. A copy of a removed text names the document that this text names.
Cost: linear in pairs and removed documents. The process that decides holds one bit per document and one range of pairs. Two
sorts outside memory give a removed document what it names, and take it back to its shard: 136 bytes for each.
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
from tokenmill.pipeline.kernels.dedup.candidates import survivors
from tokenmill.pipeline.stages.dedup.collected import of_shard, rows_of
from tokenmill.pipeline.stages.dedup.exact import Distinct
from tokenmill.pipeline.stages.dedup.shares import shares, within
from tokenmill.pipeline.stages.dedup.verify import SIMILAR

EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"
KEPT, EXACT, NEAR, REVISED = range(4)
"""Why a document is removed, in runs of DECIDED."""
MOST = 2**31 - 1
"""The largest cluster size that a verdict can say."""
NAMES = ("<u8", "<u8", "<u8", "<u8")
"""See `exact.Distinct`."""
REMOVED = ("<u8", "<u8", "<f8", "<u4", "<u4", "<u8")
"""A run of removed ranks: rank, the rank that is kept, their similarity, the sizes of both n-gram sets, and NEAR or REVISED."""
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
    ]
)
"""All but `reason` and `cluster_size` are null for a kept row. `contained`: the share of the n-grams of the removed document
that stand in the kept one; `contains`: the share of those of the kept one that stand in the removed one; `lost_ngrams`: those
of the removed one that the kept one lacks. `cluster_size` counts a kept document and those that name it. `compared` says in
words what of the two texts was compared, and how it was normalised."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Which ranks are removed, and for which others."""

    removed: npt.NDArray[np.uint8]
    """A bit for each rank, as `survivors` has them."""
    runs: list[Run]
    """Runs of REMOVED, in ascending order."""
    edges: int
    """Number of pairs that reach the threshold."""


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
class ShardVerdicts:
    """The verdicts of one shard: a task reads them where it publishes them. Picklable."""

    number: int
    alive: int
    decided: Sequence[Run]
    compared: tuple[str, str, str]

    def read(self) -> pa.RecordBatch:
        """The verdicts of the rows alive, in their order. Raises OSError."""
        place, similarity, mine, other, why, size, *ids = runs.read(self.decided, of_shard(self.number), DECIDED)
        rows, found = rows_of(place), shares(similarity, mine, other)
        reasons, sizes = np.zeros(self.alive, dtype=np.int32), np.ones(self.alive, dtype=np.int32)
        reasons[rows], sizes[rows] = why, size
        kept = reasons == KEPT
        doc_ids = np.zeros((self.alive, 2), dtype=">u8")
        doc_ids[rows] = np.stack(ids, axis=1)
        named = pa.FixedSizeBinaryArray.from_buffers(
            schema.DOC_ID.type, self.alive, [pa.array(~kept).buffers()[1], pa.py_buffer(doc_ids)]
        )
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(np.minimum(reasons, NEAR)), [schema.KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE]),
            named,
            *(
                pa.array(_scattered(column, rows, self.alive), mask=kept)
                for column in (similarity, found.contained, found.contains, found.lost_ngrams)
            ),
            pa.array(sizes),
            # Without revisions the last two are equal. Parquet writes a dictionary that repeats a value with bytes that differ
            # from run to run.
            pa.DictionaryArray.from_arrays(pa.array(np.maximum(reasons - 1, 0), mask=kept), list(dict.fromkeys(self.compared))),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=VERDICT)


def decide(
    by_range: Sequence[Sequence[Run]],
    revisions: Sequence[Sequence[Run]],
    ranks: int,
    threshold: float,
    loses: float,
    folder: Path,
) -> Decision:
    """Visit all ranks in order. `by_range`, `revisions`: for each range of pairs, in ascending order, runs of `verify.SIMILAR`.

    Of `by_range`, the pairs that reach the threshold are edges; of `revisions`, which are other pairs, all. A pair of which the
    higher rank would lose more than `loses` of its n-grams is none. Raises OSError.
    """
    removed = np.zeros((ranks + 7) // 8, dtype=np.uint8)
    edges = 0
    written = []
    for number, (parts, revised_parts) in enumerate(zip(by_range, revisions, strict=True)):
        strict = runs.read(parts, runs.ALL, SIMILAR)
        loose = runs.read(revised_parts, runs.ALL, SIMILAR)
        alike = strict[2] >= threshold
        columns = [np.concatenate([one[alike], more]) for one, more in zip(strict, loose, strict=True)]
        columns.append(np.repeat(np.array([NEAR, REVISED], dtype=np.uint64), [int(alike.sum()), len(loose[0])]))
        if loses < 1:
            few = within(shares(*columns[2:5]).contained, loses)
            columns = [column[few] for column in columns]
        order = runs.order(columns[:2], 2)
        columns = [column[order] for column in columns]
        chosen = np.empty(len(order), dtype=np.int64)
        chosen = chosen[: survivors(columns[0], columns[1], columns[2], removed, chosen)]
        written.append(runs.write(folder / f"removed-{number}", *(column[chosen] for column in columns)))
        edges += len(order)
    return Decision(removed=removed, runs=written, edges=edges)


def verdicts(
    decision: Decision, distinct: Distinct, alive: npt.NDArray[np.int64], compared: tuple[str, str, str], means: Means
) -> tuple[list[ShardVerdicts], int]:
    """The verdicts of each shard's rows alive, in order, and the number of clusters of more than one document.

    `compared`: what is compared of exact duplicates, of near duplicates, and of revisions. Raises OSError.
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
    naming = [
        _Naming(placed=placed, names=distinct.names, within=within, rows=rows, folder=means.folder, name=f"decided-{number}")
        for number, within in enumerate(runs.ranges([*placed, *distinct.names], rows))
    ]
    named = means.executor.map(_name, naming)
    decided = sort.merge(means, [run for part, _ in named for run in part], "decided")
    found = [
        ShardVerdicts(number=number, alive=int(count), decided=decided, compared=compared) for number, count in enumerate(alive)
    ]
    return found, sum(clusters for _, clusters in named)


def _scattered(values: Array, rows: npt.NDArray[np.int64], count: int) -> Array:
    """`count` values: those given at their `rows`, and zeros."""
    found = np.zeros(count, dtype=values.dtype)
    found[rows] = values
    return found


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
