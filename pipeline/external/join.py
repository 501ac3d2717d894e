"""Joining by key: rows get the values that another set of rows holds for their key.

Purpose: the way from a key to its value when neither side fits in memory, without random reads.
Guarantee: every row whose key has a value comes once, in the order of the key; rows without one are left out.
Cost: merging of both sides (`sort`), then one read of both and one write. A task holds `Means.rows` rows of each side, however
often a key is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run


@dataclass(frozen=True, kw_only=True)
class _JoinTask:
    asked: tuple[Run, ...]
    values: tuple[Run, ...]
    within: Range
    path: Path
    rows: int


def join(means: Means, asked: Sequence[Run], values: Sequence[Run], name: str) -> list[Run]:
    """The rows of `asked`, each with the value of its key: one run for each range of keys, in ascending order.

    Parameters
    ----------
    asked
        Runs whose first column is the key. Other columns are carried along. Merged files are removed.
    values
        Runs of the same kind, in which a key occurs once. The columns after the key are the value.
    name
        What the files are called, below `means.folder`.

    Raises
    ------
    OSError
        A file operation failed.
    """
    if not asked or not values:
        return []
    few, known = (sort.merge(means, side, f"{name}-{kind}") for side, kind in ((asked, "asked"), (values, "values")))
    rows = means.rows([*few[0].kinds, *known[0].kinds])
    tasks = [
        _JoinTask(asked=tuple(few), values=tuple(known), within=within, path=means.folder / f"{name}-{number}", rows=rows)
        for number, within in enumerate(runs.ranges([*few, *known], rows))
    ]
    return means.executor.map(_join, tasks)


def _join(task: _JoinTask) -> Run:
    values = runs.read(task.values, task.within, task.values[0].kinds)
    chosen = runs.order(values, 1)
    values = [column[chosen] for column in values]
    parts = [run.within(task.within) for run in task.asked]
    kinds = (*task.asked[0].kinds, *task.values[0].kinds[1:])
    with runs.growing(task.path, kinds, sum(len(part[0]) for part in parts)) as out:
        for block in _joined(parts, values, task.rows):
            out.add(block)
    return out.run()


def _joined(parts: Sequence[Sequence[Array]], values: list[Array], rows: int) -> Iterator[list[Array]]:
    keys, *others = values
    for block in sort.ordered(parts, 1, rows):
        at = np.searchsorted(keys, block[0])
        found = at < len(keys)
        found[found] = keys[at[found]] == block[0][found]
        yield [*(column[found] for column in block), *(column[at[found]] for column in others)]
