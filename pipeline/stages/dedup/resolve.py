"""Decides which documents are kept.

Guarantee: distinct texts are visited in survivor order, and a text is kept unless it has an edge to a kept one. So every
removed document names a kept document, at a similarity that reaches the threshold, and loses at most `dedup.loses` of its
n-grams to it.
Cost: linear in pairs. The process that decides holds one bit per document and one range of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.runs import Run
from tokenmill.pipeline.kernels.dedup.candidates import survivors
from tokenmill.pipeline.stages.dedup.shares import shares, within
from tokenmill.pipeline.stages.dedup.verify import SIMILAR

KEPT, EXACT, NEAR, REVISED, SAME = range(5)
"""Why a document is removed: SAME for the first of `dedup.keys`, one more for the next."""
REMOVED = ("<u8", "<u8", "<f8", "<u4", "<u4", "<u8")
"""A run of removed ranks: rank, the rank that is kept, their similarity, the sizes of both n-gram sets, and NEAR or REVISED."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Which ranks are removed, and for which others."""

    removed: npt.NDArray[np.uint8]
    """A bit for each rank, as `survivors` has them."""
    runs: list[Run]
    """Runs of REMOVED, in ascending order."""
    edges: int
    """Number of pairs that reach the threshold."""


def decide(
    by_range: Sequence[Sequence[Run]],
    revisions: Sequence[Sequence[Run]],
    ranks: int,
    threshold: float,
    loses: float,
    folder: Path,
) -> Decision:
    """Visit all ranks in order. `by_range`, `revisions`: for each range of pairs, in ascending order, runs of `verify.SIMILAR`.

    Of `by_range`, the pairs that reach the threshold are edges; of `revisions`, which are other pairs, all. A pair of which the
    higher rank would lose more than `loses` of its n-grams is none. Raises OSError.
    """
    removed = np.zeros((ranks + 7) // 8, dtype=np.uint8)
    edges = 0
    written = []
    for number, (parts, revised_parts) in enumerate(zip(by_range, revisions, strict=True)):
        strict = runs.read(parts, runs.ALL, SIMILAR)
        loose = runs.read(revised_parts, runs.ALL, SIMILAR)
        alike = strict[2] >= threshold
        columns = [np.concatenate([one[alike], more]) for one, more in zip(strict, loose, strict=True)]
        columns.append(np.repeat(np.array([NEAR, REVISED], dtype=np.uint64), [int(alike.sum()), len(loose[0])]))
        if loses < 1:
            few = within(shares(*columns[2:5]).contained, loses)
            columns = [column[few] for column in columns]
        order = runs.order(columns[:2], 2)
        columns = [column[order] for column in columns]
        chosen = np.empty(len(order), dtype=np.int64)
        chosen = chosen[: survivors(columns[0], columns[1], columns[2], removed, chosen)]
        written.append(runs.write(folder / f"removed-{number}", *(column[chosen] for column in columns)))
        edges += len(order)
    return Decision(removed=removed, runs=written, edges=edges)
