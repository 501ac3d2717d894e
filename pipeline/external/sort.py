"""Merging: many runs become few, in rounds of bounded fan-in.

Purpose: after `merge`, a task for a range of keys reads at most `Means.fan_in` files, however many shards there are.
Guarantee: rows of equal keys keep the order of the runs and the order within them, so the rows in order are the same for any
fan-in, any memory and any number of workers. With `reduce`, its result must not depend on how rows are grouped.
Cost: each round reads and writes every row once, and opens every file once; there are log(runs) / log(fan-in) rounds, none if
the runs are few. A task holds `Means.rows` rows. On disk, a round needs the runs twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Run

Item = TypeVar("Item")
Task = TypeVar("Task")
Reduce = Callable[[list[Array]], list[Array]]
"""Takes the columns of whole groups of rows with equal keys, in order, and returns those of fewer rows, in order."""


@dataclass(frozen=True, kw_only=True)
class _MergeTask:
    runs: tuple[Run, ...]
    path: Path
    rows: int
    by: int
    reduce: Reduce | None


def merge(means: Means, found: Sequence[Run], name: str, *, by: int = 1, reduce: Reduce | None = None) -> list[Run]:
    """At most `means.fan_in` runs with the rows of `found`. Removes the files of `found` that it merges.

    Parameters
    ----------
    found
        Runs with the same columns, each ordered by the first `by`, unsigned ones.
    name
        What the files are called, below `means.folder`.
    reduce
        A function of a module, called for every block of a merge; see `Reduce`.

    Raises
    ------
    OSError
        A file operation failed.
    """

    def merging(group: tuple[Run, ...], path: Path) -> _MergeTask:
        return _MergeTask(runs=group, path=path, rows=means.rows(group[0].kinds), by=by, reduce=reduce)

    return in_rounds(means, found, name, merging, _merge, runs.remove)


def in_rounds(
    means: Means,
    found: Sequence[Item],
    name: str,
    merging: Callable[[tuple[Item, ...], Path], Task],
    merge: Callable[[Task], Item],
    remove: Callable[[Sequence[Item]], None],
) -> list[Item]:
    """At most `means.fan_in` of something that is kept in files, made of many by merging as many at a time.

    `merging`: the task for some of them, with the path of the file to make. `merge`: a function of a module, which a worker
    calls. `remove`: removes the files of what is merged. Raises what these raise.
    """
    left, turn = list(found), 0
    while len(left) > means.fan_in:
        groups = [tuple(left[at : at + means.fan_in]) for at in range(0, len(left), means.fan_in)]
        tasks = [merging(group, means.folder / f"{name}-{turn}-{number}") for number, group in enumerate(groups)]
        merged = means.executor.map(merge, tasks)
        # Only now: a task that is done again needs its files again.
        remove(left)
        left, turn = merged, turn + 1
    return left


def ordered(parts: Sequence[Sequence[Array]], by: int, rows: int, *, whole: bool = False) -> Iterator[list[Array]]:
    """The rows of several ordered sets of columns as blocks in one order, of about `rows` rows each.

    Rows whose first `by` columns are equal come in the order of the sets; `whole`: and in one block. Columns may be mapped:
    each row is read once.
    """
    for within in runs.cut([part[0] for part in parts], rows, alone=True):
        slices = [[column[within.of(part[0])] for column in part] for part in parts]
        slices = [one for one in slices if len(one[0])]
        if not slices:
            continue
        if within.first < within.last or sum(len(one[0]) for one in slices) <= 2 * rows or (whole and by == 1):
            columns = [np.concatenate(column) for column in zip(*slices, strict=True)]
            if len(slices) > 1:
                chosen = runs.order(columns, by)
                columns = [column[chosen] for column in columns]
            yield columns
        elif by == 1:
            for one in slices:
                for at in range(0, len(one[0]), rows):
                    yield [column[at : at + rows] for column in one]
        else:
            # One key of very many rows: they are ordered by the rest of the key in the same way.
            for block in ordered([one[1:] for one in slices], by - 1, rows, whole=whole):
                yield [np.full(len(block[0]), within.first, dtype=slices[0][0].dtype), *block]


def _merge(task: _MergeTask) -> Run:
    kinds, room = task.runs[0].kinds, sum(run.rows for run in task.runs)
    with runs.growing(task.path, kinds, room) as out:
        for block in ordered([run.columns() for run in task.runs], task.by, task.rows, whole=task.reduce is not None):
            out.add(task.reduce(block) if task.reduce else block)
    return out.run()
