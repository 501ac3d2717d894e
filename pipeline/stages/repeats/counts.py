"""Counts in how many documents of its source each unit occurs. This is the step over all shards.

Guarantee: documents are counted, not occurrences. The counts are exact and do not depend on the number of workers.
Cost: one read of the scores of each shard and one sort of its units; 20 bytes below `.state` per unit of a shard, or less with
a filter. Summing holds one range of hashes of one source in memory at a time (`RANGE_ROWS`).
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
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.runs import Range, Run
from tokenmill.pipeline.stages.repeats import scores
from tokenmill.pipeline.stages.repeats.filters import Filter
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.step import Work

RANGE_ROWS = 4_000_000
"""Rows summed at a time (approximate), at some 100 bytes each."""
COUNTS = ("<u8", "<u4", "<u4", "<u4")
"""A run of units of a shard: hash, documents, occurrences and the first row with it."""


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
    view: View
    named: Named
    filter: Filter | None
    least: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Sum:
    """Sum the rows of a range of hashes over the runs of all shards of a source."""

    tables: tuple[Run, ...]
    within: Range
    least: int


def needed(config: RepeatsConfig, documents: int) -> int:
    """How many documents must contain a unit before it counts as repeated, in a source of `documents` documents."""
    return max(config.min_documents, math.ceil(Fraction(str(config.min_share)) * documents))


def repeated(sources: Sequence[SourceShards], work: Work, folder: Path) -> list[Repeated]:
    """The repeated units of each source. Writes below `folder`. Raises what reading and writing raise."""
    counting = [
        _Count(view=view, named=named, filter=one.filter, least=one.least, path=folder / f"{one.name}.{number}.counts")
        for one in sources
        for number, (view, named) in enumerate(one.shards)
    ]
    tables = work.executor.map(_count, counting)
    summing: list[_Sum] = []
    ends: list[int] = []
    for one in sources:
        mine, tables = tuple(tables[: len(one.shards)]), tables[len(one.shards) :]
        ranges = max(1, -(-sum(run.rows for run in mine) // RANGE_ROWS))
        summing += [
            _Sum(
                tables=mine,
                within=Range(first=(number << 64) // ranges, last=(number + 1 << 64) // ranges - 1),
                least=one.least,
            )
            for number in range(ranges)
        ]
        ends.append(len(summing))
    summed = work.executor.map(_sum, summing)
    return [_joined(summed[first:last]) for first, last in zip([0, *ends], ends, strict=False)]


def _joined(parts: Sequence[Repeated]) -> Repeated:
    return Repeated(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _count(task: _Count) -> Run:
    """Write the distinct units of a shard in order of hash."""
    found = scores.units_of(scores.read(task.view, task.named, task.view.read(["doc_id"]))["units"]).grouped()
    passing = slice(None) if task.filter is None else task.filter.passing(found.hashes, task.least)
    written = (found.hashes, found.documents, found.occurrences, found.first)
    return runs.write(task.path, *(column[passing].astype(kind) for column, kind in zip(written, COUNTS, strict=True)))


def _sum(task: _Sum) -> Repeated:
    """The units of a range that occur in enough documents."""
    parts = [run.within(task.within) for run in task.tables]
    shard = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    hashes, documents, occurrences, rows_of_first = (np.concatenate(column) for column in zip(*parts, strict=True))
    # A stable sort, so that shards ascend within a hash.
    order = np.argsort(hashes, kind="stable")
    begins = scores.run_starts(hashes[order])
    total = scores.sums(documents[order].astype(np.int64), begins)
    enough = total >= task.least
    first = order[begins[enough]]
    return Repeated(
        hashes=hashes[first].astype(np.uint64),
        documents=total[enough],
        occurrences=scores.sums(occurrences[order].astype(np.int64), begins)[enough],
        shards=shard[first],
        rows=rows_of_first[first].astype(np.int64),
    )
