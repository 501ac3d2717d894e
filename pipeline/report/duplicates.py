"""Clusters of duplicates and pairs of evidence, collected from the verdicts of the stage `dedup`.

Guarantee: clusters and pairs do not depend on the order of the shards. Some pairs have the lowest keyed hash of the removed
document's id; others have the lowest similarity, one per cluster. Memory: one shard's verdicts and what is shown.
Cost: O(rows log rows) per shard.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.report.fates import coded, id_words
from tokenmill.pipeline.report.histograms import UNIT, Histogram

PAIRS = 6
DOUBTFUL_PAIRS = 6
CLUSTERS = 8
COLUMNS = ("doc_id", "reason", "kept_doc_id", "jaccard", "cluster_size")
NEAR = "near_duplicate"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A removed document, the kept one that stands in for it, and the Jaccard similarity of their n-gram sets.

    `revision`: that similarity is the one of the second comparison, with more folded.
    """

    key: int
    removed: bytes
    kept: bytes
    jaccard: float
    revision: bool = False


@dataclass(kw_only=True)
class Duplicates:
    """What is shown of the duplicates.

    `removed_by_size[n]`: the number of documents removed from clusters of n documents. `largest`: (size, kept doc_id), largest
    first. `doubtful`: the near-duplicates of the lowest similarity, lowest first, one per cluster. `sample`: the
    near-duplicates with the lowest keys. `similarities`: of all near-duplicates. `revised`: what verdicts say was compared of a
    revision; "" if none was sought. `revisions`: the near-duplicates that are revisions.
    """

    revised: str = ""
    revisions: int = 0
    removed_by_size: Counter[int] = field(default_factory=Counter)
    largest: list[tuple[int, bytes]] = field(default_factory=list)
    doubtful: list[Pair] = field(default_factory=list)
    sample: list[Pair] = field(default_factory=list)
    similarities: Histogram = field(default_factory=lambda: Histogram.empty(UNIT))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of verdicts that are needed."""
        return (*COLUMNS, *(["compared"] if self.revised else []))

    def add(self, table: pa.Table, keys: npt.NDArray[np.uint64]) -> None:
        """Add the verdicts of one shard (`columns`). `keys`: the keyed hashes of its ids, uint64 [rows]."""
        reasons, names = coded(table["reason"])
        removed = np.flatnonzero(np.array([*(name != KEPT for name in names), False])[reasons])
        self._add_clusters(table.take(pa.array(removed)))
        near = np.flatnonzero(np.array([*(name == NEAR for name in names), False])[reasons])
        self._add_pairs(table.take(pa.array(near)), keys[near])

    def clusters(self) -> dict[int, int]:
        """The number of clusters by size. A cluster of n documents has lost n - 1 of them."""
        return {size: removed // (size - 1) for size, removed in sorted(self.removed_by_size.items()) if size > 1}

    def others(self) -> list[Pair]:
        """The sample without the pairs that are listed as doubtful."""
        return [pair for pair in self.sample if pair not in self.doubtful]

    def compared(self) -> set[bytes]:
        """Every document of a pair. The two texts of a pair are shown side by side."""
        return {doc_id for pair in (*self.doubtful, *self.sample) for doc_id in (pair.removed, pair.kept)}

    def shown(self) -> set[bytes]:
        """Every document that needs a preview."""
        return self.compared() | {doc_id for _, doc_id in self.largest}

    def _add_clusters(self, removed: pa.Table) -> None:
        sizes = np.asarray(removed["cluster_size"].to_numpy(), dtype=np.int64)
        for size, rows in zip(*np.unique(sizes, return_counts=True), strict=True):
            self.removed_by_size[int(size)] += int(rows)
        _, first = np.unique(id_words(removed["kept_doc_id"]), axis=0, return_index=True)
        best = first[np.argsort(-sizes[first], kind="stable")[:CLUSTERS]]
        found = {(int(sizes[at]), removed["kept_doc_id"][int(at)].as_py()) for at in best}
        self.largest = sorted({*self.largest, *found}, key=lambda cluster: (-cluster[0], cluster[1]))[:CLUSTERS]

    def _add_pairs(self, near: pa.Table, keys: npt.NDArray[np.uint64]) -> None:
        jaccard = np.asarray(near["jaccard"].to_numpy(), dtype=np.float64)
        self.similarities.add(jaccard, np.zeros(len(jaccard), dtype=np.bool_))
        said = near["compared"].cast(pa.string()).to_pylist() if self.revised else [None] * len(jaccard)
        revision = [one is not None and one == self.revised for one in said]
        self.revisions += sum(revision)

        def pairs(order: npt.NDArray[np.int64]) -> list[Pair]:
            return [
                Pair(
                    key=int(keys[row]),
                    removed=near["doc_id"][int(row)].as_py(),
                    kept=near["kept_doc_id"][int(row)].as_py(),
                    jaccard=float(jaccard[row]),
                    revision=revision[row],
                )
                for row in order
            ]

        by_key = pairs(np.argsort(keys, kind="stable")[:PAIRS])
        # Of the pairs of one cluster, the least similar comes first, and only that one is taken.
        order = np.lexsort((keys, jaccard))
        _, first = np.unique(id_words(near["kept_doc_id"])[order], axis=0, return_index=True)
        by_similarity = pairs(order[np.sort(first)[:DOUBTFUL_PAIRS]])
        self.sample = heapq.nsmallest(PAIRS, [*self.sample, *by_key], key=lambda pair: (pair.key, pair.removed))
        doubtful = sorted([*self.doubtful, *by_similarity], key=lambda pair: (-pair.jaccard, -pair.key, pair.removed))
        # In the dict a later pair replaces an earlier one of its cluster, so the least similar stays.
        best = {pair.kept: pair for pair in doubtful}
        self.doubtful = heapq.nsmallest(DOUBTFUL_PAIRS, best.values(), key=lambda pair: (pair.jaccard, pair.key, pair.removed))
