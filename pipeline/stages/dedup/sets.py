"""Files of n-gram sets that meet their pairs: written shard by shard, read by each task in one piece.

Purpose: a task that compares a range of pairs needs the sets of their documents, which stand in any shards. So `write_wanted`
writes each set for each task that asked for it. A shelf holds sets in the order of tasks, and few shelves are made of many.
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
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run
from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import Folding, tables
from tokenmill.pipeline.stages.dedup.banding import Scheme
from tokenmill.pipeline.stages.dedup.collected import of_shard, rows_of

Grams = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
GRAM_BYTES = 8
SETS = 4_096
"""Sets per call of the system (approximate)."""
SHARDS = 64
"""Most shards whose sets one task writes."""
WANTED = ("<u8", "<u8", "<u8")
"""A run of the sets that are wanted: the place of the document, the task, and the rank of the document."""
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


@dataclass(frozen=True, kw_only=True)
class _Sets:
    """Task: write the n-gram sets that are wanted of the documents of some shards."""

    views: Sequence[View]
    first: int
    """The number of the first of these shards."""
    wanted: Sequence[Run]
    scheme: Scheme
    folding: Folding
    memory_bytes: int
    folder: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class _Merging:
    shelves: Sequence[Shelf]
    path: Path
    grams: int
    """How many are copied at a time."""


def write_wanted(
    means: Means, views: Sequence[View], wanted: Sequence[Run], scheme: Scheme, folding: Folding, name: str
) -> list[Shelf]:
    """At most `means.fan_in` shelves with the sets that are `wanted`, runs of WANTED, which are removed. Raises what reading
    and writing raise.
    """
    merged = sort.merge(means, wanted, f"{name}-wanted")
    each = min(SHARDS, -(-len(views) // (4 * means.executor.workers)) or 1)
    tasks = [
        _Sets(
            views=views[at : at + each],
            first=at,
            wanted=merged,
            scheme=scheme,
            folding=folding,
            memory_bytes=means.memory_bytes,
            folder=means.folder,
            name=f"{name}-sets-{at}",
        )
        for at in range(0, len(views), each)
    ]
    made = [shelf for part in means.executor.map(_write_sets, tasks) for shelf in part]
    runs.remove(merged)

    def merging(shelves: tuple[Shelf, ...], path: Path) -> _Merging:
        return _Merging(shelves=shelves, path=path, grams=means.memory_bytes // 4 // GRAM_BYTES)

    return sort.in_rounds(means, made, f"{name}-shelves", merging, _merge, remove)


def remove(shelves: Sequence[Shelf]) -> None:
    """Remove the files of shelves that are no longer needed."""
    for shelf in shelves:
        runs.remove([shelf.index])
        files.remove(shelf.path, durable=False)


def _write_sets(task: _Sets) -> list[Shelf]:
    written: list[Shelf] = []
    held: list[tuple[Array, ...]] = []
    filled = 0

    def write() -> None:
        written.append(_write(task.folder / f"{task.name}-{len(written)}", *map(np.concatenate, zip(*held, strict=True))))
        held.clear()

    for number, view in enumerate(task.views, task.first):
        places, numbers, ranks = runs.read(task.wanted, of_shard(number), WANTED)
        if not len(places):
            continue
        rows = rows_of(places)
        chosen = np.unique(rows)
        data, offsets = utf8(view.read().table["text"].combine_chunks())
        characters = task.scheme.shingle == "characters"
        grams, bounds = ngrams.ngram_sets(data, offsets, chosen, characters, task.scheme.ngram, tables(task.folding))
        at = np.searchsorted(chosen, rows)
        # The kernel's array has room for the largest possible sets; the copy frees the rest.
        held.append((numbers, ranks, grams.copy(), filled + bounds[at], filled + bounds[at + 1]))
        filled += len(grams)
        if filled * GRAM_BYTES >= task.memory_bytes // 8:
            write()
            filled = 0
    if held:
        write()
    return written


def _write(path: Path, tasks: Grams, ranks: Grams, grams: Grams, starts: Numbers, ends: Numbers) -> Shelf:
    """Write the sets `grams[starts[i]:ends[i]]` for `tasks[i]`, in any order. Raises OSError."""
    order = np.argsort(tasks, kind="stable")
    with files.create(path, durable=False, hashed=False) as out:
        for at in range(0, len(order), SETS):
            places = zip(starts[order[at : at + SETS]].tolist(), ends[order[at : at + SETS]].tolist(), strict=True)
            out.write(np.concatenate([grams[start:end] for start, end in places]))
    sizes = np.cumsum((ends - starts)[order], dtype=np.int64)
    return Shelf(index=runs.write(_index(path), tasks[order], ranks[order], sizes), path=path)


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
