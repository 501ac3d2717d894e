"""Verification of candidates: the Jaccard similarity of the n-gram sets of two texts.

Purpose: shared bands only say where to look. A pair becomes an edge when its true similarity reaches the threshold.
The sizes of both sets stand beside it: with them, the similarity says how much of each text stands in the other (`shares`).
Guarantee: each pair is compared once, over sets computed from the text as the stage sees it. A pair that an earlier build
compared is looked up instead. Sets hold 64-bit hashes; `pipeline.kernels.text.ngrams` states the odds of a wrong element.
`compare` reads the text of a shard at most once.
Cost: pairs ask for their documents by rank, and what they ask for is joined with places, sorted by place, and answered with
sets (`sets`): every file is read in its order. On disk 49 bytes per pair, and 120 bytes and a set per document and range of
pairs that asks for it, most of it for a while. A worker holds one range of pairs, one shard and its sets, and
`memory_bytes` / 2 of sets at most, but for two sets that are larger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.join import join
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run
from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.unicode import Folding
from tokenmill.pipeline.stages.dedup import known, sets
from tokenmill.pipeline.stages.dedup.banding import Scheme
from tokenmill.pipeline.stages.dedup.candidates import PAIR, distinct_pairs
from tokenmill.pipeline.stages.dedup.sets import GRAM_BYTES, Shelf

SIMILAR = ("<u8", "<u8", "<f8", "<u4", "<u4")
"""A run of pairs, the higher and the lower rank, with their similarity and the sizes of both n-gram sets."""
NEW = (*SIMILAR, "<u8", "<u8", "|b1")
"""The same with both halves of the pair's key in `known`, and whether the sizes stand the other way round there. NaN: not
compared yet."""
ASKED = ("<u8", "<u8", "<u8", "<u8", "<u8")
"""A run of what ranges of pairs ask for: the number of the range, rank, place, and both halves of `exact`."""


@dataclass(frozen=True, kw_only=True)
class _Uniting:
    """Task: collect the new pairs of one range, once each, and the ranks in them."""

    number: int
    pairs: Sequence[Run]
    before: Sequence[Run]
    within: Range
    folder: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class _LookUp:
    """Task: give the pairs of a range their known similarities, and say which sets the others want."""

    number: int
    pairs: Run
    asked: Sequence[Run]
    known: Sequence[Run]
    folder: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Task: compute the similarities that are missing in a range; write all of them, by pair and by key."""

    number: int
    run: Run
    shelves: Sequence[Shelf]
    memory_bytes: int
    by_pair: Path
    by_key: Path


@dataclass(frozen=True, kw_only=True)
class New:
    """Pairs of one range, as a run of NEW, and the sets that they want, as a run of `sets.WANTED`."""

    run: Run
    wanted: Run


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Pairs of one range with their similarities, as runs of SIMILAR and of `known.KNOWN`.

    `now`: how many of them were computed in this run.
    """

    by_pair: Run
    by_key: Run
    now: int


@dataclass(frozen=True, kw_only=True)
class Comparer:
    """Everything that comparing needs besides the pairs."""

    views: Sequence[View]
    hashes: Sequence[Run]
    """See `exact.Distinct`."""
    known: Sequence[Run]
    """Similarities from earlier builds."""
    scheme: Scheme
    folding: Folding
    means: Means
    label: str = ""
    """Begins the names of files: another one for each comparer of a folder."""

    def new(
        self, pairs: Sequence[Sequence[Run]], ranges: Sequence[Range], before: Sequence[Sequence[Run]], turn: int
    ) -> list[New]:
        """For each range, those of its `pairs` that are not in its runs of `before`. Raises OSError."""
        means, name = self.means, f"{self.label}{turn}"
        uniting = [
            _Uniting(number=number, pairs=found, before=compared, within=within, folder=means.folder, name=f"{name}-{number}")
            for number, (found, within, compared) in enumerate(zip(pairs, ranges, before, strict=True))
        ]
        united = means.executor.map(_unite, uniting)
        asking = [ranks for _, ranks in united if ranks.rows]
        answered = join(means, sort.merge(means, asking, f"{name}-ranks"), self.hashes, f"{name}-places")
        runs.remove([ranks for _, ranks in united])
        asked = sort.merge(means, means.executor.map(_by_range, answered), f"{name}-asked", by=2)
        finding = [
            _LookUp(number=number, pairs=found, asked=asked, known=self.known, folder=means.folder, name=f"{name}-{number}")
            for number, (found, _) in enumerate(united)
        ]
        new = means.executor.map(_find, finding)
        runs.remove([*asked, *(found for found, _ in united)])
        return new

    def compare(self, new: Sequence[New], turn: int) -> list[Compared]:
        """Compute the missing similarities. Raises what reading and writing raise."""
        means = self.means
        wanted = [one.wanted for one in new]
        shelves = sets.write_wanted(means, self.views, wanted, self.scheme, self.folding, f"{self.label}{turn}")
        tasks = [
            _Comparison(
                number=number,
                run=one.run,
                shelves=shelves,
                memory_bytes=means.memory_bytes,
                by_pair=means.folder / f"{self.label}similar-{turn}-{number}",
                by_key=means.folder / f"{self.label}known-{turn}-{number}",
            )
            for number, one in enumerate(new)
        ]
        compared = means.executor.map(_compare, tasks)
        sets.remove(shelves)
        runs.remove([one.run for one in new])
        return compared


def _unite(task: _Uniting) -> tuple[Run, Run]:
    """The pairs, and the ranks with the number of the range."""
    columns = distinct_pairs(runs.read(task.pairs, task.within, PAIR), ordered=False)
    for run in task.before:
        columns = _without(columns, run.columns()[:2])
    ranks = runs.distinct(np.concatenate(columns))
    numbers = np.full(len(ranks), task.number, dtype=np.uint64)
    return (
        runs.write(task.folder / f"{task.name}.pairs", *columns),
        runs.write(task.folder / f"{task.name}.ranks", ranks, numbers),
    )


def _without(pairs: Sequence[Array], others: Sequence[Array]) -> list[Array]:
    """The pairs that are not among the others. Each side holds a pair once, and `pairs` are in order."""
    higher, lower = (np.concatenate([other, pair]) for other, pair in zip(others, pairs, strict=False))
    order = runs.order((higher, lower), 2)
    # The sort is stable, so of two equal pairs the second one is of `pairs`.
    again = (higher[order][1:] == higher[order][:-1]) & (lower[order][1:] == lower[order][:-1])
    new = np.ones(len(higher), dtype=np.bool_)
    new[order[1:][again]] = False
    mine = new[len(others[0]) :]
    return [column[mine] for column in pairs]


def _by_range(run: Run) -> Run:
    """What was joined, as a run of ASKED."""
    rank, number, place, one, other = run.columns()
    written = runs.write_sorted(run.path.with_suffix(".asked"), number, rank, place, one, other, by=2)
    runs.remove([run])
    return written


def _find(task: _LookUp) -> New:
    higher, lower = task.pairs.columns()
    _, ranks, places, *exact = runs.read(task.asked, Range(first=task.number, last=task.number), ASKED)
    order = np.argsort(ranks, kind="stable")
    at, other = (order[np.searchsorted(ranks, side, sorter=order)] for side in (higher, lower))
    one, more = exact
    key = (one[at] + one[other], more[at] + more[other])
    turned = (one[at] > one[other]) | ((one[at] == one[other]) & (more[at] > more[other]))
    similarity, *sizes = known.look_up(task.known, key)
    sizes = known.turn(sizes, turned)
    missing = np.isnan(similarity)
    wanted = np.flatnonzero(np.bincount(np.concatenate([at[missing], other[missing]]), minlength=len(ranks)))
    numbers = np.full(len(wanted), task.number, dtype=np.uint64)
    return New(
        run=runs.write(task.folder / f"{task.name}.new", higher, lower, similarity, *sizes, *key, turned),
        wanted=runs.write_sorted(task.folder / f"{task.name}.wanted", places[wanted], numbers, ranks[wanted]),
    )


def _compare(task: _Comparison) -> Compared:
    higher, lower, stored, *sizes, one, other, turned = task.run.columns()
    found = [stored.copy(), *(size.copy() for size in sizes)]
    missing = np.flatnonzero(np.isnan(stored))
    if len(missing):
        for column, values in zip(found, _similarities(task, higher[missing], lower[missing]), strict=True):
            column[missing] = values
    order = np.argsort(one)
    by_key = [one, other, found[0], *known.turn(found[1:], turned)]
    return Compared(
        by_pair=runs.write(task.by_pair, higher, lower, *found),
        by_key=runs.write(task.by_key, *(column[order] for column in by_key)),
        now=len(missing),
    )


def _similarities(task: _Comparison, higher: Array, lower: Array) -> tuple[Array, Array, Array]:
    """The similarity of each pair and the sizes of both sets, block by block of pairs whose sets fit in memory together."""
    parts = [shelf.of(task.number) for shelf in task.shelves]
    ranks, starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
    shelf = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    order = np.argsort(ranks, kind="stable")
    one, other = (order[np.searchsorted(ranks, side, sorter=order)] for side in (higher, lower))
    sizes = ends - starts
    out = np.empty(len(higher))
    for block in _blocks(one, other, sizes, task.memory_bytes // 4 // GRAM_BYTES):
        chosen = np.flatnonzero(np.bincount(np.concatenate([one[block], other[block]]), minlength=len(ranks)))
        loaded = [
            sets.load(task.shelves[number].path, starts[mine], ends[mine])
            for number in range(len(parts))
            if len(mine := chosen[shelf[chosen] == number])
        ]
        # `chosen` goes shelf by shelf and, within each, by place, so sets lie in its order.
        bounds = np.zeros((len(ranks), 2), dtype=np.int64)
        bounds[chosen, 1] = np.cumsum(sizes[chosen])
        bounds[chosen, 0] = bounds[chosen, 1] - sizes[chosen]
        grams = np.concatenate(loaded)
        out[block] = ngrams.similarities(grams, grams, bounds[one[block]], bounds[other[block]])
    return out, sizes[one], sizes[other]


def _blocks(one: Array, other: Array, sizes: Array, most: int) -> Iterator[slice]:
    """Consecutive pairs whose sets have at most `most` n-grams together, or one pair. `one`, `other`: places in `sizes`."""
    start = 0
    while start < len(one):
        members = np.stack([one[start:], other[start:]], axis=1).reshape(-1)
        seen, first = np.unique(members, return_index=True)
        added = np.zeros(len(members), dtype=np.int64)
        added[first] = sizes[seen]
        count = int(np.searchsorted(np.cumsum(added)[1::2], most, side="right"))
        yield slice(start, start + max(1, count))
        start += max(1, count)
