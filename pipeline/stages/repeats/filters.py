"""Counting Bloom filters of sources: units that are surely rare need no exact count.

Purpose: exact counts take 20 bytes of disk for every unit of every shard, and most units occur in one document only.
Guarantee: a repeated unit always passes the filter. Units that pass are counted exactly, so the size of a filter changes only
the amount of work. At most a share `error_rate` of the rare units passes, as long as a source has no more distinct units than
`expected_units`.
Cost: one read of the scores; in memory one filter (1.44 * log2(1 / error_rate) bytes per expected unit, 10 at 1 %) and the
hashes of a few shards. Workers memory-map the filter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.kernels.dedup import bloom
from tokenmill.pipeline.stages.repeats import scores
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.step import Work

SHARDS_AT_A_TIME = 4
"""Shards per worker whose hashes are held in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A filter on disk. Picklable. `fill`: the share of its counters that are not 0."""

    path: Path
    probes: int
    fill: float

    @property
    def error(self) -> float:
        """The expected share of rare units that pass, at most."""
        return self.fill**self.probes

    def passing(self, hashes: npt.NDArray[np.uint64], least: int) -> npt.NDArray[np.bool_]:
        """Which of `hashes` may have been added at least `least` times."""
        with files.reading(self.path) as handle:
            counters = np.asarray(np.memmap(handle, dtype=np.uint8, mode="r"))
        found = np.empty(len(hashes), dtype=np.uint8)
        bloom.lowest(counters, self.probes, hashes, found)
        return found >= min(least, bloom.MOST)


def make(members: Sequence[tuple[View, Named]], config: RepeatsConfig, work: Work, path: Path) -> Filter:
    """Build the filter of a source's shards and write it to `path`. Raises what reading and writing raise."""
    size, probes = sizes(config.expected_units, config.error_rate)
    counters = np.zeros(size, dtype=np.uint8)
    step = SHARDS_AT_A_TIME * work.executor.workers
    for at in range(0, len(members), step):
        for hashes in work.executor.map(_distinct, members[at : at + step]):
            bloom.add(counters, probes, hashes)
    with files.create(path, durable=False, hashed=False) as out:
        out.write(counters)
    return Filter(path=path, probes=probes, fill=float(np.count_nonzero(counters) / size))


def sizes(expected_units: int, error_rate: float) -> tuple[int, int]:
    """Number of counters, and of probes per unit: n ln(1 / p) / ln(2)^2 and log2(1 / p) (Bloom 1970; Fan et al. 2000)."""
    size = math.ceil(expected_units * -math.log(error_rate) / math.log(2) ** 2)
    return size, max(1, round(-math.log2(error_rate)))


def _distinct(scored: tuple[View, Named]) -> npt.NDArray[np.uint64]:
    """The hashes of a shard's units, each repeated once per document that contains it."""
    view, named = scored
    found = scores.units_of(scores.read(view, named, view.read(["doc_id"]))["units"]).grouped()
    return np.repeat(found.hashes, found.documents)
