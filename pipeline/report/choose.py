"""Which documents the report shows: samples of every reason, pairs of duplicates, the largest clusters.

Purpose: choose by thin tables alone, so that the one pass over the text knows which rows to preview.
Guarantee: samples are the rows with the lowest keyed hash of their `doc_id`: the same on every machine, and a document
that is added or removed changes at most itself. Memory: one shard's verdicts and the rows chosen.
Cost: one read of every verdict table.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import shards
from pipeline.report.corpus import Corpus, Fate, ShardTables, coded, fates, id_words
from pipeline.schema import KEPT

SAMPLES = 5
PAIRS = 6
DOUBTFUL_PAIRS = 4
CLUSTERS = 8
SEED = np.uint64(0x746F6B656E6D696C)
EVIDENCE = ("kept_doc_id", "jaccard", "cluster_size")
EXACT = "exact_duplicate"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A removed document, the kept one that stands in for it, and the Jaccard similarity of their n-gram sets."""

    removed: bytes
    kept: bytes
    jaccard: float


@dataclass(kw_only=True)
class Duplicates:
    """`removed_by_size[n]`: documents removed from clusters of n documents. `largest`: (size, kept doc_id), largest first."""

    removed_by_size: Counter[int] = field(default_factory=Counter)
    largest: list[tuple[int, bytes]] = field(default_factory=list)
    doubtful: list[Pair] = field(default_factory=list)
    """Near-duplicates of the lowest similarity, the lowest first."""
    pairs: list[Pair] = field(default_factory=list)
    """A sample of all near-duplicates."""

    def clusters(self) -> dict[int, int]:
        """Number of clusters by size: of n documents, all but the kept one were removed."""
        return {size: removed // (size - 1) for size, removed in sorted(self.removed_by_size.items()) if size > 1}


@dataclass(kw_only=True)
class Chosen:
    """What is shown: `samples` are ids by fate."""

    samples: dict[Fate, list[bytes]] = field(default_factory=dict)
    duplicates: Duplicates | None = None

    def wanted(self) -> set[bytes]:
        """Every document that needs a preview."""
        ids = {doc_id for chosen in self.samples.values() for doc_id in chosen}
        if self.duplicates is not None:
            pairs = [*self.duplicates.doubtful, *self.duplicates.pairs]
            ids |= {doc_id for pair in pairs for doc_id in (pair.removed, pair.kept)}
            ids |= {doc_id for _, doc_id in self.duplicates.largest}
        return ids


def choose(corpus: Corpus) -> Chosen:
    """Read every verdict table once. Raises CorruptFile, Misaligned."""
    lowest: dict[Fate, list[tuple[int, bytes]]] = {}
    duplicates = Duplicates() if corpus.stage("dedup") is not None else None
    near: list[tuple[int, Pair]] = []
    doubtful: list[tuple[float, int, Pair]] = []
    for shard in corpus.shards:
        ids = _ids(corpus, shard)
        keys = _keys(ids)
        codes, known = fates(corpus, shard, ids)
        for code, fate in enumerate(known):
            rows = np.flatnonzero(codes == code)
            if len(rows):
                best = [(int(keys[row]), ids[int(row)].as_py()) for row in _lowest(keys, rows, SAMPLES)]
                lowest[fate] = heapq.nsmallest(SAMPLES, [*lowest.get(fate, []), *best])
        if duplicates is not None:
            _add_clusters(corpus, shard, keys, duplicates, near, doubtful)
            near = heapq.nsmallest(PAIRS, near, key=lambda item: (item[0], item[1].removed))
            doubtful = heapq.nsmallest(DOUBTFUL_PAIRS, doubtful, key=lambda item: (item[0], item[1], item[2].removed))
    if duplicates is not None:
        duplicates.doubtful = [pair for _, _, pair in doubtful]
        shown = {pair.removed for pair in duplicates.doubtful}
        duplicates.pairs = [pair for _, pair in near if pair.removed not in shown]
    return Chosen(samples={fate: [doc_id for _, doc_id in best] for fate, best in lowest.items()}, duplicates=duplicates)


def _ids(corpus: Corpus, shard: ShardTables) -> pa.ChunkedArray:
    """The ids of a shard, off its thinnest table; the pass over the text compares them with the documents'."""
    named = next(iter(shard.verdicts.values()), shard.documents)
    return shards.read(corpus.root, named, ["doc_id"])["doc_id"]


def _keys(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A keyed 64-bit mix of each id: uint64 [rows]. The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    words = id_words(ids)
    mixed = words[:, 0] ^ words[:, 1] ^ SEED
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def _lowest(keys: npt.NDArray[Any], rows: npt.NDArray[np.int64], number: int) -> list[int]:
    return [int(row) for row in rows[np.argsort(keys[rows], kind="stable")[:number]]]


def _add_clusters(
    corpus: Corpus,
    shard: ShardTables,
    keys: npt.NDArray[np.uint64],
    duplicates: Duplicates,
    near: list[tuple[int, Pair]],
    doubtful: list[tuple[float, int, Pair]],
) -> None:
    table = shards.read(corpus.root, shard.verdicts["dedup"], ["doc_id", "reason", *EVIDENCE])
    reasons, names = coded(table["reason"])
    removed = (reasons >= 0) & ~np.isin(reasons, [number for number, name in enumerate(names) if name == KEPT])
    sizes = np.asarray(table["cluster_size"].fill_null(0).to_numpy(), dtype=np.int64)
    for size, rows in zip(*np.unique(sizes[removed], return_counts=True), strict=True):
        duplicates.removed_by_size[int(size)] += int(rows)

    rows = np.flatnonzero(removed)
    kept_ids = id_words(table["kept_doc_id"])[rows]
    _, first = np.unique(kept_ids, axis=0, return_index=True)
    candidates = set(duplicates.largest)
    for row in _lowest(-sizes, rows[np.sort(first)], CLUSTERS):
        candidates.add((int(sizes[row]), table["kept_doc_id"][row].as_py()))
    duplicates.largest = sorted(candidates, key=lambda cluster: (-cluster[0], cluster[1]))[:CLUSTERS]

    jaccard = np.asarray(table["jaccard"].fill_null(float("nan")).to_numpy(), dtype=np.float64)
    rows = np.flatnonzero(removed & ~np.isin(reasons, [number for number, name in enumerate(names) if name == EXACT]))

    def pair(row: int) -> Pair:
        return Pair(removed=table["doc_id"][row].as_py(), kept=table["kept_doc_id"][row].as_py(), jaccard=float(jaccard[row]))

    near += [(int(keys[row]), pair(row)) for row in _lowest(keys, rows, PAIRS)]
    rows = rows[np.argsort(keys[rows], kind="stable")]
    doubtful += [(float(jaccard[row]), int(keys[row]), pair(row)) for row in _lowest(jaccard, rows, DOUBTFUL_PAIRS)]
