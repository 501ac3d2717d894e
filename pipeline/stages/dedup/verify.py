"""Verification of candidates: the Jaccard similarity of the n-gram sets of two texts.

Purpose: shared bands only say where to look. A pair becomes an edge when its true similarity reaches the threshold.
Guarantee: each pair is compared once, over sets computed from the text as the stage sees it. A pair that an earlier build
compared is looked up instead. Sets hold 64-bit hashes; `pipeline.kernels.text.ngrams` states the odds of a wrong element.
`compare` reads the text of a shard at most once.
Cost: the sets of the documents that have a new candidate are written below `.state` (8 bytes per distinct n-gram, about as
much as their text), and 16 bytes per pair. Memory: 16 bytes per document, and in a worker one shard and its sets, or a range
of pairs and the pages it compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.runs import Range, Run
from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import Folding, tables
from tokenmill.pipeline.stages.dedup import known
from tokenmill.pipeline.stages.dedup.banding import Scheme
from tokenmill.pipeline.stages.dedup.exact import Groups

SET_FILES = 64
"""Most files of sets. Each pair of files is mapped once per range in which it has a pair to compare."""
SIMILAR = ("<u8", "<f8")
"""A run of pairs with their similarities; NaN: not compared yet."""


@dataclass(frozen=True, kw_only=True)
class _Uniting:
    """Task: collect the new pairs of one range, once each, with their known similarities."""

    pairs: Sequence[Run]
    before: Sequence[Run]
    within: Range
    exact: Path
    known: Sequence[Run]
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Sets:
    """Task: write the n-gram sets of documents to `path`. `rows`: for each shard, the positions among its rows alive."""

    rows: Sequence[tuple[View, npt.NDArray[np.int64]]]
    scheme: Scheme
    folding: Folding
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Task: compute the similarities that are missing in `run`; write all of them, by pair and by key."""

    run: Run
    exact: Path
    places: Path
    """A file of int64 [ranks, 2]: where each set begins and ends in all set files laid end to end."""
    sets: Sequence[Path]
    ends: npt.NDArray[np.int64]
    """[sets]: where each file of sets ends."""
    by_pair: Path
    by_key: Path


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Pairs of one range with their similarities. `now`: how many of them were computed in this run."""

    by_pair: Run
    by_key: Run
    now: int


@dataclass(frozen=True, kw_only=True)
class Comparer:
    """Everything that comparing needs besides the pairs."""

    views: Sequence[View]
    starts: npt.NDArray[np.int64]
    """[shards + 1]: the first document of each shard."""
    groups: Groups
    exact: Path
    """A file of uint64 [ranks, 2]: the column `exact`."""
    known: Sequence[Run]
    """Similarities from earlier builds."""
    scheme: Scheme
    folding: Folding
    folder: Path
    """Holds files of sets, of pairs and of similarities. The caller removes them."""
    executor: Executor
    label: str = ""
    """Begins the names of these files: another one for each comparer of a folder."""

    def new(self, pairs: Sequence[Run], ranges: Sequence[Range], before: Sequence[Sequence[Run]], turn: int) -> list[Run]:
        """For each range, the pairs that are not in its runs of `before`, as a run of SIMILAR. Raises OSError."""
        tasks = [
            _Uniting(
                pairs=pairs,
                before=compared,
                within=within,
                exact=self.exact,
                known=self.known,
                path=self.folder / f"{self.label}new-{turn}-{number}",
            )
            for number, (within, compared) in enumerate(zip(ranges, before, strict=True))
        ]
        return self.executor.map(_unite, tasks)

    def compare(self, new: Sequence[Run], turn: int) -> list[Compared]:
        """Compute the missing similarities in runs of SIMILAR. Raises what reading and writing raise."""
        sets, ends = self._write_sets(new, turn)
        tasks = [
            _Comparison(
                run=run,
                exact=self.exact,
                places=self.folder / f"{self.label}places",
                sets=sets,
                ends=ends,
                by_pair=self.folder / f"{self.label}similar-{turn}-{number}",
                by_key=self.folder / f"{self.label}known-{turn}-{number}",
            )
            for number, run in enumerate(new)
        ]
        compared = self.executor.map(_compare, tasks)
        for path in sets:
            files.remove(path, durable=False)
        runs.remove(new)
        return compared

    def _write_sets(self, new: Sequence[Run], turn: int) -> tuple[list[Path], npt.NDArray[np.int64]]:
        """Write the sets of the documents that have a pair without a similarity, and `places`. Returns the files and their
        ends.
        """
        involved = np.zeros(int(self.starts[-1]), dtype=np.bool_)
        for run in new:
            pairs, similarity = run.columns()
            lower, higher = ranks_of(pairs[np.isnan(similarity)])
            involved[self.groups.rows[lower]] = involved[self.groups.rows[higher]] = True
        rows = np.flatnonzero(involved)
        cuts = np.searchsorted(rows, self.starts)
        parts = [part for part in np.array_split(np.flatnonzero(np.diff(cuts)), SET_FILES) if len(part)]
        tasks = [
            _Sets(
                rows=[(self.views[at], rows[cuts[at] : cuts[at + 1]] - self.starts[at]) for at in part],
                scheme=self.scheme,
                folding=self.folding,
                path=self.folder / f"{self.label}sets-{turn}-{number}",
            )
            for number, part in enumerate(parts)
        ]
        sizes = self.executor.map(_write_sets, tasks)
        bounds = np.cumsum(np.concatenate([[0], *sizes]), dtype=np.int64)
        places = np.zeros((len(self.groups.rows), 2), dtype=np.int64)
        places[self.groups.rank[rows]] = np.stack([bounds[:-1], bounds[1:]], axis=1)
        runs.save(self.folder / f"{self.label}places", places)
        return [task.path for task in tasks], np.cumsum([size.sum() for size in sizes], dtype=np.int64)


def ranks_of(pairs: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The lower and the higher rank of each pair."""
    return (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64), (pairs >> np.uint64(32)).astype(np.int64)


def _unite(task: _Uniting) -> Run:
    (pairs,) = runs.read(task.pairs, task.within, SIMILAR[:1])
    pairs = runs.distinct(pairs)
    for run in task.before:
        pairs = np.setdiff1d(pairs, run.columns()[0], assume_unique=True)
    return runs.write(task.path, pairs, known.look_up(task.known, known.keys(_hashes(task.exact), pairs)))


def _write_sets(task: _Sets) -> npt.NDArray[np.int64]:
    """Write one file of sets. Returns the size of each set, int64 [rows]."""
    sizes = []
    with files.create(task.path, durable=False, hashed=False) as out:
        for view, rows in task.rows:
            data, offsets = utf8(view.read().table["text"].combine_chunks())
            characters = task.scheme.shingle == "characters"
            sets, bounds = ngrams.ngram_sets(data, offsets, rows, characters, task.scheme.ngram, tables(task.folding))
            out.write(sets)
            sizes.append(np.diff(bounds))
    return np.concatenate(sizes)


def _compare(task: _Comparison) -> Compared:
    pairs, stored = task.run.columns()
    similarity = stored.copy()
    missing = np.flatnonzero(np.isnan(similarity))
    if len(missing):
        similarity[missing] = _similarities(task, pairs[missing])
    one, other = known.keys(_hashes(task.exact), pairs)
    order = np.argsort(one)
    return Compared(
        by_pair=runs.write(task.by_pair, pairs, similarity),
        by_key=runs.write(task.by_key, one[order], other[order], similarity[order]),
        now=len(missing),
    )


def _similarities(task: _Comparison, pairs: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """The similarity of each pair. Pairs are grouped by their two set files, so that each file is mapped few times."""
    places = runs.load(task.places, np.int64).reshape(-1, 2)
    one, other = (places[ranks] for ranks in ranks_of(pairs))
    file, other_file = (np.searchsorted(task.ends, spans[:, 0], side="right") for spans in (one, other))
    order = np.lexsort((other_file, file))
    begins = np.flatnonzero(np.diff(file[order] * len(task.sets) + other_file[order], prepend=-1))
    out = np.empty(len(pairs))
    for begin, end in zip(begins, [*begins[1:], len(order)], strict=True):
        mine = order[begin:end]
        a, b = int(file[mine[0]]), int(other_file[mine[0]])
        sets, others = (runs.load(task.sets[number], "<u8") for number in (a, b))
        base, other_base = (int(task.ends[number - 1]) if number else 0 for number in (a, b))
        out[mine] = ngrams.similarities(sets, others, one[mine] - base, other[mine] - other_base)
    return out


def _hashes(path: Path) -> npt.NDArray[np.uint64]:
    return runs.load(path, np.uint64).reshape(-1, 2)
