"""The truth about candidates: the Jaccard similarity of the sets of word n-grams of two texts.

Purpose: shared bands only say where to look. A pair becomes an edge when its true similarity reaches the threshold.
Guarantee: each pair is compared once, over sets computed from the text as the stage sees it; the text of a shard is read
once. Sets hold 64-bit hashes; `pipeline.kernels.ngrams` states the odds of a wrong element.
Cost: the sets of the documents that have a candidate are written below `.state` (8 bytes per distinct n-gram, about as
much as their text) and mapped from there, so memory is one shard and its sets per worker, plus 50 bytes per pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline import files
from pipeline.dedup.exact import Groups
from pipeline.dedup.signatures import Signatures
from pipeline.kernels import ngrams
from pipeline.kernels.buffers import utf8
from pipeline.kernels.unicode import tables
from pipeline.shards import View
from pipeline.work import Work

PAIRS_PER_TASK = 50_000


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Pairs of ranks whose similarity reaches the threshold, lower < higher, sorted by (higher, lower)."""

    lower: npt.NDArray[np.int64]
    higher: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    verified: int
    """How many pairs were compared; the others are ruled out by the sizes of their sets."""


@dataclass(frozen=True, kw_only=True)
class _Sets:
    """Write the n-gram sets of some documents of a shard to `path`. `rows`: among the rows alive."""

    view: View
    rows: npt.NDArray[np.int64]
    ngram_words: int
    path: Path


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Compare sets: of each pair the two files, and the elements [start, stop) in them, int64 [pairs, 2] each."""

    folder: Path
    files: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    second: npt.NDArray[np.int64]


def verify(
    pairs: npt.NDArray[np.int64],
    signatures: Signatures,
    groups: Groups,
    views: Sequence[View],
    work: Work,
    *,
    ngram_words: int,
    threshold: float,
) -> Edges:
    """The edges among `pairs` (int64 [pairs, 2], the lower rank first). Raises what reading and writing raise."""
    folder = work.root / ".state" / "dedup" / ".ngrams"
    _clear(folder)
    try:
        involved, where = np.unique(pairs, return_inverse=True)
        shard, spans = _write_all(groups.rows[involved], signatures.starts, views, work, folder, ngram_words)
        first, second = where.reshape(-1, 2).T
        sizes = np.diff(spans, axis=1)[:, 0]
        # Similarity is at most the ratio of the sizes, also after rounding, which is monotone.
        smaller, larger = np.minimum(sizes[first], sizes[second]), np.maximum(sizes[first], sizes[second])
        possible = np.flatnonzero(smaller / larger >= threshold)
        possible = possible[np.lexsort((shard[second[possible]], shard[first[possible]]))]
        chunks = [possible[at : at + PAIRS_PER_TASK] for at in range(0, len(possible), PAIRS_PER_TASK)]
        tasks = [
            _Comparison(
                folder=folder,
                files=np.stack([shard[first[chunk]], shard[second[chunk]]], axis=1),
                first=spans[first[chunk]],
                second=spans[second[chunk]],
            )
            for chunk in chunks
        ]
        similarity = np.concatenate([np.empty(0), *work.executor.map(_compare, tasks)])
    finally:
        _clear(folder)
    alike = similarity >= threshold
    lower, higher = pairs[possible[alike]].T
    order = np.lexsort((lower, higher))
    return Edges(lower=lower[order], higher=higher[order], similarity=similarity[alike][order], verified=len(possible))


def _write_all(
    rows: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    views: Sequence[View],
    work: Work,
    folder: Path,
    ngram_words: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Write the sets of the documents in `rows`: for each its file's number [rows], and its elements there [rows, 2]."""
    shard = np.searchsorted(starts, rows, side="right") - 1
    spans = np.zeros((len(rows), 2), dtype=np.int64)
    members = [(number, np.flatnonzero(shard == number)) for number in np.unique(shard)]
    tasks = [
        _Sets(view=views[number], rows=rows[mine] - starts[number], ngram_words=ngram_words, path=folder / _file(number))
        for number, mine in members
    ]
    for (_, mine), bounds in zip(members, work.executor.map(_write_sets, tasks), strict=True):
        spans[mine] = np.stack([bounds[:-1], bounds[1:]], axis=1)
    return shard, spans


def _write_sets(task: _Sets) -> npt.NDArray[np.int64]:
    """Write one file of sets; where each begins in it, int64 [rows + 1]."""
    data, offsets = utf8(task.view.read().table["text"].combine_chunks())
    sets, bounds = ngrams.ngram_sets(data, offsets, task.rows, task.ngram_words, tables())
    with files.create(task.path) as out:
        out.write(sets)
    return bounds


def _compare(task: _Comparison) -> npt.NDArray[np.float64]:
    """The similarity of each pair, in order. Pairs come sorted by their files, so each is mapped few times."""
    out = np.empty(len(task.files), dtype=np.float64)
    begins = np.flatnonzero(np.any(np.diff(task.files, axis=0, prepend=-1) != 0, axis=1))
    for begin, end in zip(begins, [*begins[1:], len(out)], strict=True):
        one, other = (np.asarray(np.memmap(task.folder / _file(n), dtype="<u8", mode="r")) for n in task.files[begin])
        out[begin:end] = ngrams.similarities(one, other, task.first[begin:end], task.second[begin:end])
    return out


def _file(number: int) -> str:
    return f"{number}.u64"


def _clear(folder: Path) -> None:
    """Remove the sets of this run, or those that a run that was killed left."""
    for path in sorted(folder.glob("*")):
        files.remove(path)
