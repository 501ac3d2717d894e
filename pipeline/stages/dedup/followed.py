"""Which document is kept for each one that left for its key.

Purpose: the document that shares the key may be removed itself, as a duplicate of a third one, or for its own next key. Then
that third document stands in for both.
Guarantee: it is kept at the end of the stage. Nothing depends on memory, cuts or workers.
Cost: one sort of all documents by place, 16 bytes each, and one for each key; nothing where no key is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run

FATE = ("<u8", "<u8")
"""A run of places, and the ranks that are kept for them."""


@dataclass(frozen=True, kw_only=True)
class _Turning:
    runs: Sequence[Run]
    within: Range
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Following:
    asked: Sequence[Run]
    removed: Sequence[Run]
    all: Sequence[Run]
    within: Range
    rows: int
    folder: Path
    name: str


def follow(shared: Sequence[Sequence[Run]], placed: Sequence[Run], names: Sequence[Run], means: Means) -> list[list[Run]]:
    """For each key of `shared` (see `keys.shared`), runs of FATE of the documents that left for it, by place.

    placed: runs that begin with the rank that is kept and the place of a removed document. names: with rank and place of all
    documents that did not leave for a key. Raises OSError.
    """
    if not any(shared):
        return [[] for _ in shared]
    removed, ranked = _turned(placed, means, "removed-by-place"), _turned(names, means, "ranks-by-place")
    found: list[list[Run]] = []
    # The document that shares a key may have left for a later one.
    for number, left in reversed(list(enumerate(shared))):
        asked = _turned(left, means, f"asked-{number}")
        rows = means.rows(FATE * 3)
        tasks = [
            _Following(
                asked=asked,
                removed=removed,
                all=ranked,
                within=within,
                rows=rows,
                folder=means.folder,
                name=f"followed-{number}-{at}",
            )
            for at, within in enumerate(runs.ranges([*asked, *removed, *ranked], rows))
        ]
        mine = sort.merge(means, [run for part in means.executor.map(_follow, tasks) for run in part], f"fates-{number}")
        removed = [*removed, *mine]
        found.insert(0, mine)
    return found


def _turned(found: Sequence[Run], means: Means, name: str) -> list[Run]:
    """The first two columns, each in the place of the other, and ordered anew."""
    if not found:
        return []
    tasks = [
        _Turning(runs=found, within=within, path=means.folder / f"{name}-{at}.turned")
        for at, within in enumerate(runs.ranges(found, means.rows(FATE * 2)))
    ]
    return sort.merge(means, means.executor.map(_turn, tasks), name)


def _turn(task: _Turning) -> Run:
    one, other = (np.concatenate(part) for part in zip(*(run.within(task.within)[:2] for run in task.runs), strict=True))
    return runs.write_sorted(task.path, other, one)


def _follow(task: _Following) -> list[Run]:
    removed, keeper = _ordered(task.removed, task.within)
    every, rank = _ordered(task.all, task.within)
    written: list[Run] = []
    for run in task.asked:
        leaders, places = run.within(task.within)
        for at in range(0, len(leaders), task.rows):
            leader, place = leaders[at : at + task.rows], places[at : at + task.rows]
            goes = np.isin(leader, removed)
            kept = np.empty_like(leader)
            kept[goes] = keeper[np.searchsorted(removed, leader[goes])]
            kept[~goes] = rank[np.searchsorted(every, leader[~goes])]
            written.append(runs.write_sorted(task.folder / f"{task.name}-{len(written)}.made", place, kept))
    return written


def _ordered(found: Sequence[Run], within: Range) -> tuple[Array, Array]:
    key, value = runs.read(found, within, FATE)
    order = np.argsort(key)
    return key[order], value[order]
