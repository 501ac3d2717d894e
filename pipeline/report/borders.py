"""The documents nearest to each threshold, on both sides.

Guarantee: the same documents for any order of shards. Of the dropped ones, those come first that fail no other rule: they are
what another threshold would bring back. Then the nearest come first, and of equally near ones those with the lowest keyed hash.
Memory: the documents chosen. Cost: a sort of the nearest values per shard and rule.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.report.judging import Judged
from tokenmill.pipeline.stages.criteria import Criterion

SHOWN = 3
"""Documents on each side."""


@dataclass(frozen=True, kw_only=True)
class Border:
    """A document near a threshold. `others`: how many other rules it fails."""

    others: int
    distance: float
    key: int
    doc_id: bytes
    value: float


@dataclass(kw_only=True)
class Borders:
    """By rule and side (True: kept by the stage), the documents nearest to the threshold, nearest first."""

    nearest: dict[tuple[Criterion, bool], list[Border]] = field(default_factory=dict)

    def add(self, judged: Judged, ids: pa.ChunkedArray, keys: npt.NDArray[np.uint64]) -> None:
        """Add one shard. `keys`: the keyed hashes of its ids, uint64 [rows]."""
        for at, criterion in enumerate(judged.criteria):
            if criterion.limit is None or not np.isfinite(criterion.limit.threshold):
                continue
            values = criterion.values(judged.scores)
            distances = np.abs(values - criterion.limit.threshold)
            others = np.minimum(judged.failing - judged.fails[at], 1)
            for kept, rows in ((True, judged.kept & judged.concerned(at)), (False, judged.fails[at])):
                candidates = np.flatnonzero(rows & np.isfinite(distances))
                order = np.lexsort((keys[candidates], distances[candidates], others[candidates]))[:SHOWN]
                best = [
                    Border(
                        others=int(judged.failing[row] - judged.fails[at][row]),
                        distance=float(distances[row]),
                        key=int(keys[row]),
                        doc_id=ids[int(row)].as_py(),
                        value=float(values[row]),
                    )
                    for row in candidates[order]
                ]
                known = self.nearest.setdefault((criterion, kept), [])
                self.nearest[criterion, kept] = heapq.nsmallest(SHOWN, [*known, *best], key=_order)

    def ids(self) -> set[bytes]:
        """Every document that is shown."""
        return {one.doc_id for side in self.nearest.values() for one in side}


def _order(one: Border) -> tuple[bool, float, int, bytes]:
    return one.others > 0, one.distance, one.key, one.doc_id
