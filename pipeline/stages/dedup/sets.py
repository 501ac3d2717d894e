"""Files of n-gram sets that meet their pairs: written shard by shard, read by each task in one piece.

Purpose: a task that compares a range of pairs needs the sets of their documents, which stand in any shards. So each set is
written for each task that asked for it. A shelf holds sets in the order of tasks, and `merge` makes few shelves of many.
Guarantee: a task finds each set that it asked for once, for any number of shelves.
Cost: 8 bytes per distinct n-gram and task that asked, about as much as the text, written once and once more for each round of
merging, and read once, in the order of the files. A writer holds `memory_bytes` / 4 of sets, and the sets of one shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Range, Run

Grams = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
GRAM_BYTES = 8
SETS = 4_096
"""Sets per call of the system (approximate)."""
INDEX = ("<u8", "<u8", "<i8")
"""The index of a shelf: the task, the rank of the document, and where its set ends, in n-grams."""


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A file of sets, end to end, and its index, in the order of tasks. Picklable."""

    index: Run
    path: Path

    def of(self, task: int) -> tuple[Grams, Numbers, Numbers]:
        """The ranks of the sets for a task, where each set begins in the file and where it ends, in n-grams."""
        tasks, ranks, ends = self.index.columns()
        mine = Range(first=task, last=task).of(tasks)
        found = np.array(ends[mine])
        first = int(ends[mine.start - 1]) if mine.start and len(found) else 0
        return np.array(ranks[mine]), np.concatenate([[first], found[:-1]]).astype(np.int64)[: len(found)], found

    def remove(self) -> None:
        """Remove its files."""
        runs.remove([self.index])
        files.remove(self.path, durable=False)


@dataclass(frozen=True, kw_only=True)
class _Merging:
    shelves: Sequence[Shelf]
    path: Path
    grams: int
    """How many are copied at a time."""


def write(path: Path, tasks: Grams, ranks: Grams, grams: Grams, starts: Numbers, ends: Numbers) -> Shelf:
    """Write the sets `grams[starts[i]:ends[i]]` for `tasks[i]`, in any order. Raises OSError."""
    order = np.argsort(tasks, kind="stable")
    with files.create(path, durable=False, hashed=False) as out:
        for at in range(0, len(order), SETS):
            places = zip(starts[order[at : at + SETS]].tolist(), ends[order[at : at + SETS]].tolist(), strict=True)
            out.write(np.concatenate([grams[start:end] for start, end in places]))
    sizes = np.cumsum((ends - starts)[order], dtype=np.int64)
    return Shelf(index=runs.write(_index(path), tasks[order], ranks[order], sizes), path=path)


def merge(means: Means, shelves: Sequence[Shelf], name: str) -> list[Shelf]:
    """At most `means.fan_in` shelves with the sets of these, which are removed where they are merged. Raises OSError."""
    left, turn = list(shelves), 0
    while len(left) > means.fan_in:
        groups = [left[at : at + means.fan_in] for at in range(0, len(left), means.fan_in)]
        tasks = [
            _Merging(
                shelves=group, path=means.folder / f"{name}-{turn}-{number}.merged", grams=means.memory_bytes // 4 // GRAM_BYTES
            )
            for number, group in enumerate(groups)
        ]
        merged = means.executor.map(_merge, tasks)
        for shelf in left:
            shelf.remove()
        left, turn = merged, turn + 1
    return left


def _merge(task: _Merging) -> Shelf:
    indices = [shelf.index.columns() for shelf in task.shelves]
    room = sum(shelf.index.rows for shelf in task.shelves)
    filled = 0
    with (
        files.create(task.path, durable=False, hashed=False) as out,
        runs.growing(_index(task.path), INDEX, room) as index,
    ):
        for number in runs.distinct(np.concatenate([tasks for tasks, _, _ in indices])).tolist():
            for shelf in task.shelves:
                ranks, starts, ends = shelf.of(number)
                if not len(ranks):
                    continue
                for block in _read(shelf.path, int(starts[0]), int(ends[-1]), task.grams):
                    out.write(block)
                index.add([np.full(len(ranks), number, dtype=np.uint64), ranks, ends - starts[0] + filled])
                filled += int(ends[-1] - starts[0])
    return Shelf(index=index.run(), path=task.path)


def _index(path: Path) -> Path:
    return path.with_name(f"{path.name}.index")


def _read(path: Path, start: int, end: int, most: int) -> Iterator[Grams]:
    with files.reading(path) as handle:
        handle.seek(start * GRAM_BYTES)
        for at in range(start, end, most):
            yield np.fromfile(handle, dtype="<u8", count=min(most, end - at))


def load(path: Path, starts: Numbers, ends: Numbers) -> Grams:
    """The sets that begin and end there, in ascending order, end to end. Raises OSError.

    Sets that touch are read in one piece.
    """
    first = np.flatnonzero(np.concatenate([[True], starts[1:] != ends[:-1]]))
    last = np.concatenate([first[1:], [len(starts)]]) - 1
    with files.reading(path) as handle:
        parts = []
        for start, end in zip(starts[first].tolist(), ends[last].tolist(), strict=True):
            handle.seek(start * GRAM_BYTES)
            parts.append(np.fromfile(handle, dtype="<u8", count=end - start))
    return np.concatenate(parts)
