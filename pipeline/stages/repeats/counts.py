"""Counts in how many documents of its source each unit occurs. This is the step over all shards.

Guarantee: documents are counted, not occurrences. The counts are exact and do not depend on the number of workers.
Cost: one read of the scores of each shard and one sort of its units; 32 bytes below `.state` per unit of a shard, or less with
a filter. Runs are merged in rounds of bounded fan-in, and summed on the way; a worker holds what `Work.memory_bytes` allows, of
one range of hashes of one source. This process holds the repeated units, 40 bytes each: with a `min_share` of 1 %, no more than
a hundred times the units of a document.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.runs import Array, Range, Run
from tokenmill.pipeline.stages.repeats import scores
from tokenmill.pipeline.stages.repeats.filters import Filter
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.step import Work

COUNTS = ("<u8", "<u8", "<u8", "<u4", "<u4")
"""A run of units: hash, documents, occurrences, and the shard and the row of the first document with it."""


class Repeated(NamedTuple):
    """The repeated units of one source in ascending order of hash; columns of equal length.

    `shards`, `rows`: the first document with the unit, as the number of its shard in the source and its row among those alive.
    """

    hashes: npt.NDArray[np.uint64]
    documents: npt.NDArray[np.int64]
    occurrences: npt.NDArray[np.int64]
    shards: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SourceShards:
    """The shards of a source in order, with their scores. `least`: how many documents must contain a repeated unit."""

    name: str
    shards: tuple[tuple[View, Named], ...]
    least: int
    filter: Filter | None = None


@dataclass(frozen=True, kw_only=True)
class _Count:
    number: int
    view: View
    named: Named
    filter: Filter | None
    least: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Sum:
    """Sum the rows of a range of hashes over the runs of a source."""

    tables: tuple[Run, ...]
    within: Range
    least: int


def needed(config: RepeatsConfig, documents: int) -> int:
    """How many documents must contain a unit before it counts as repeated, in a source of `documents` documents."""
    return max(config.min_documents, math.ceil(Fraction(str(config.min_share)) * documents))


def repeated(sources: Sequence[SourceShards], work: Work, folder: Path) -> list[Repeated]:
    """The repeated units of each source. Writes below `folder`. Raises what reading and writing raise."""
    counting = [
        _Count(
            number=number,
            view=view,
            named=named,
            filter=one.filter,
            least=one.least,
            path=folder / f"{one.name}.{number}.counts",
        )
        for one in sources
        for number, (view, named) in enumerate(one.shards)
    ]
    tables, means = work.executor.map(_count, counting), work.means(folder)
    summing: list[_Sum] = []
    ends: list[int] = []
    for one in sources:
        mine, tables = tables[: len(one.shards)], tables[len(one.shards) :]
        few = tuple(sort.merge(means, mine, f"{one.name}.merged", reduce=summed))
        summing += [_Sum(tables=few, within=within, least=one.least) for within in runs.ranges(few, means.rows(COUNTS))]
        ends.append(len(summing))
    found = work.executor.map(_sum, summing)
    return [_joined(found[first:last]) for first, last in zip([0, *ends], ends, strict=False)]


def _joined(parts: Sequence[Repeated]) -> Repeated:
    return Repeated(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _count(task: _Count) -> Run:
    """Write the distinct units of a shard in order of hash."""
    found = scores.units_of(scores.read(task.view, task.named, task.view.read(["doc_id"]))["units"]).grouped()
    passing = slice(None) if task.filter is None else task.filter.passing(found.hashes, task.least)
    number = np.full(len(found.hashes), task.number)
    written = (found.hashes, found.documents, found.occurrences, number, found.first)
    return runs.write(task.path, *(column[passing].astype(kind) for column, kind in zip(written, COUNTS, strict=True)))


def summed(columns: list[Array]) -> list[Array]:
    """One row for each hash of rows in the order of hash and shard: the sums, and the first document."""
    hashes, documents, occurrences, numbers, rows = columns
    begins = scores.run_starts(hashes)
    sums = (scores.sums(counts, begins) for counts in (documents, occurrences))
    return [hashes[begins], *sums, numbers[begins], rows[begins]]


def _sum(task: _Sum) -> Repeated:
    """The units of a range that occur in enough documents."""
    columns = runs.read(task.tables, task.within, COUNTS)
    # A stable sort, and runs in the order of their shards: shards ascend within a hash.
    order = runs.order(columns, 1)
    columns = summed([column[order] for column in columns])
    enough = columns[1] >= task.least
    hashes, *others = (column[enough] for column in columns)
    return Repeated(hashes, *(column.astype(np.int64) for column in others))
