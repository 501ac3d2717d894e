"""Ranks, and equal texts: each document's place in survivor order, and the groups of documents whose texts are equal.

Purpose: a rank is a number of 64 bits, counted over all documents from 0. A group of equal texts is led by its first document
in survivor order, and near duplicates are sought among leaders. Ranks go to the shards by a sort on places, and rows find
their leader by a sort on hashes.
Guarantee: ranks and groups are the same for any memory, fan-in and number of workers.
Cost: four sorts outside memory: 64 bytes per document with the default survivor policy, then 32 by hash, 16 by place, and 16
for each copy of a text. 64 bytes per document stay on disk until verdicts are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Range, Run, Span
from tokenmill.pipeline.stages.dedup.collected import WIDE, AllDocuments


@dataclass(frozen=True, kw_only=True)
class Distinct:
    """Distinct texts in survivor order, and how to come from ranks to documents. Runs of columns of uint64."""

    hashes: list[Run]
    """By rank: rank, place, and both halves of `exact`. All documents."""
    names: list[Run]
    """By rank: rank, place, and both halves of the `doc_id`. All documents."""
    leaders: list[Run]
    """By place: place and rank of the documents that lead a group."""
    copies: list[Run]
    """By rank: the rank of the leader, and the place of a document with the same text."""
    documents: int
    count: int
    """Number of leaders."""


@dataclass(frozen=True, kw_only=True)
class _Ranking:
    runs: Sequence[Run]
    within: Span
    first: int
    """The first rank."""
    keys: int
    exact: bool
    folder: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    hashes: Run
    names: Run
    by_text: list[Run]
    leaders: list[Run]


@dataclass(frozen=True, kw_only=True)
class _Grouping:
    by_text: Sequence[Run]
    within: Range
    rows: int
    folder: Path
    name: str


def distinct(gathered: AllDocuments, means: Means, *, exact: bool = True) -> Distinct:
    """Rank all documents and group them by `exact`, or each by itself if `exact` is False. Raises OSError."""
    if not gathered.runs:
        return Distinct(hashes=[], names=[], leaders=[], copies=[], documents=0, count=0)
    keys = gathered.keys
    parts = [run.columns() for run in gathered.runs]
    spans = runs.spans(gathered.runs, means.rows(["<u8"] * WIDE * (keys + 3)), keys + 1)
    sizes = [sum(span.of(part).stop - span.of(part).start for part in parts) for span in spans]
    firsts = np.cumsum([0, *sizes])
    tasks = [
        _Ranking(
            runs=gathered.runs,
            within=span,
            first=int(first),
            keys=keys,
            exact=exact,
            folder=means.folder,
            name=f"{number}",
        )
        for number, (span, first) in enumerate(zip(spans, firsts[:-1], strict=True))
    ]
    ranked = means.executor.map(_rank, tasks)
    runs.remove(gathered.runs)
    hashes, names = (sort.merge(means, [getattr(one, name) for one in ranked], name) for name in ("hashes", "names"))
    leaders = [run for one in ranked for run in one.leaders]
    copies: list[Run] = []
    if exact:
        by_text = sort.merge(means, [run for one in ranked for run in one.by_text], "by-text", by=2)
        rows = means.rows(["<u8"] * 4)
        grouping = [
            _Grouping(by_text=by_text, within=within, rows=rows, folder=means.folder, name=f"{number}")
            for number, within in enumerate(runs.ranges(by_text, rows))
        ]
        grouped = means.executor.map(_group, grouping)
        runs.remove(by_text)
        leaders = [run for found, _ in grouped for run in found]
        copies = [run for _, found in grouped for run in found]
    return Distinct(
        hashes=hashes,
        names=names,
        leaders=sort.merge(means, leaders, "leaders"),
        copies=sort.merge(means, copies, "copies"),
        documents=int(firsts[-1]),
        count=sum(run.rows for run in leaders),
    )


def _rank(task: _Ranking) -> _Ranked:
    parts = [[column[task.within.of(run.columns())] for column in run.columns()] for run in task.runs]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    chosen = runs.order(columns, task.keys + 1)
    *ids, place, one, other = (column[chosen] for column in columns[task.keys - 2 :])
    rank = np.uint64(task.first) + np.arange(len(place), dtype=np.uint64)
    by_text = [runs.write_sorted(task.folder / f"text-{task.name}", one, other, rank, place, by=2)] if task.exact else []
    return _Ranked(
        hashes=runs.write(task.folder / f"hashes-{task.name}.ranked", rank, place, one, other),
        names=runs.write(task.folder / f"names-{task.name}.ranked", rank, place, *ids),
        by_text=by_text,
        leaders=[] if task.exact else [runs.write_sorted(task.folder / f"leaders-{task.name}.ranked", place, rank)],
    )


def _group(task: _Grouping) -> tuple[list[Run], list[Run]]:
    """Leaders by place, and copies by the rank of their leader."""
    leaders, copies = [], []
    before: tuple[int, int] | None = None
    leader = 0
    parts = [run.within(task.within) for run in task.by_text]
    for number, (one, other, rank, place) in enumerate(sort.ordered(parts, 3, task.rows)):
        begins = np.ones(len(rank), dtype=np.bool_)
        begins[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
        begins[0] = before != (int(one[0]), int(other[0]))
        # A group may have begun in the block before.
        known = np.concatenate([np.array([leader], dtype=np.uint64), rank[begins]])[np.cumsum(begins)]
        before, leader = (int(one[-1]), int(other[-1])), int(known[-1])
        name = f"{task.name}-{number}.grouped"
        leaders.append(runs.write_sorted(task.folder / f"leaders-{name}", place[begins], rank[begins]))
        if not begins.all():
            copies.append(runs.write_sorted(task.folder / f"copies-{name}", known[~begins], place[~begins]))
    return leaders, copies
