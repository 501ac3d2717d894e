"""Histograms on fixed grids, filled shard by shard.

Purpose: show how lengths and scores are distributed, separately for rows that a stage kept and rows that it dropped.
Guarantee: the grids are constants, so counts do not depend on the order of the shards or on a platform's logarithm. A value
beyond the grid counts in its last bin. Cost: O(values log bins) time, a few kilobytes of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

R20 = (1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24, 2.5, 2.8, 3.15, 3.55, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0)
"""Renard's preferred numbers (ISO 3): twenty steps a decade, evenly spaced on a logarithmic axis."""


def logarithmic(low: int, high: int, *, per_decade: int) -> Values:
    """Edges from 0 through 10**low to 10**high; float64. `per_decade` is 20, 10, 5 or 4."""
    steps = R20[:: 20 // per_decade]
    edges = [0.0, *(step * 10.0**power for power in range(low, high) for step in steps), 10.0**high]
    # Six digits, so that an edge is the number that its label says.
    return np.array([float(f"{edge:.6g}") for edge in edges])


UNIT: Values = np.arange(101) / 100
SMALL_INTEGERS: Values = np.arange(42, dtype=np.float64)
FRACTIONS: Values = logarithmic(-4, 0, per_decade=10)
LENGTHS: Values = logarithmic(0, 8, per_decade=10)
MAGNITUDES: Values = logarithmic(-2, 8, per_decade=20)
COUNTS: Values = np.unique(np.round(logarithmic(0, 8, per_decade=20)))
SKEWED_BELOW, SKEWED_SHARE = 0.1, 0.95
"""Shares of which so many lie below this are shown on a logarithmic axis."""


class Grid(NamedTuple):
    """Edges of bins: float64 [bins + 1]. `whole`: they are whole numbers. `single`: each bin stands for one of them."""

    edges: Values
    logarithmic: bool = False
    whole: bool = False
    single: bool = False


GRIDS: Mapping[str, Grid] = {
    "unit": Grid(UNIT),
    "fractions": Grid(FRACTIONS, logarithmic=True),
    "integers": Grid(SMALL_INTEGERS, whole=True, single=True),
    "counts": Grid(COUNTS, logarithmic=True, whole=True),
    "magnitudes": Grid(MAGNITUDES, logarithmic=True),
}


def grids_for(values: npt.NDArray[np.generic]) -> list[str]:
    """The names of the grids for values of this type: whole numbers, or any numbers."""
    return [name for name, grid in GRIDS.items() if grid.whole == np.issubdtype(values.dtype, np.integer)]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """`kept` and `dropped` int64 [bins] between `edges` float64 [bins + 1]. A bin includes its lower edge."""

    edges: Values
    kept: Counts
    dropped: Counts

    @staticmethod
    def empty(edges: Values) -> Histogram:
        return Histogram(
            edges=edges, kept=np.zeros(len(edges) - 1, dtype=np.int64), dropped=np.zeros(len(edges) - 1, dtype=np.int64)
        )

    def add(self, values: npt.NDArray[np.generic], kept: npt.NDArray[np.bool_]) -> None:
        """Count finite values [rows]; `kept` bool [rows]."""
        bins = np.clip(np.searchsorted(self.edges, values.astype(np.float64), side="right") - 1, 0, len(self.kept) - 1)
        np.add(self.kept, np.bincount(bins[kept], minlength=len(self.kept)), out=self.kept)
        np.add(self.dropped, np.bincount(bins[~kept], minlength=len(self.kept)), out=self.dropped)

    def merge(self, other: Histogram) -> None:
        """Add the counts of another one with the same edges."""
        np.add(self.kept, other.kept, out=self.kept)
        np.add(self.dropped, other.dropped, out=self.dropped)

    @property
    def total(self) -> int:
        return int(self.kept.sum() + self.dropped.sum())

    def trimmed(self, *including: float) -> Histogram:
        """Without the empty bins at both ends, but with the bins of the values `including`."""
        filled = np.flatnonzero(self.kept + self.dropped)
        wanted = np.clip(np.searchsorted(self.edges, including, side="right") - 1, 0, len(self.kept) - 1)
        places = np.concatenate([filled, wanted])
        if not len(places):
            return self
        first, last = int(places.min()), int(places.max()) + 1
        return Histogram(edges=self.edges[first : last + 1], kept=self.kept[first:last], dropped=self.dropped[first:last])

    def position(self, value: float) -> float:
        """The place of `value` on an axis of equally wide bins, from 0 to 1."""
        return float(np.interp(value, self.edges, np.linspace(0, 1, len(self.edges))))


@dataclass(kw_only=True)
class Profile:
    """A score whose range is not known beforehand. It is counted on several grids and shown on the one that fits."""

    histograms: dict[str, Histogram] = field(
        default_factory=lambda: {name: Histogram.empty(grid.edges) for name, grid in GRIDS.items()}
    )
    integral: bool = True
    highest: float = 0.0

    def add(self, values: npt.NDArray[np.generic], kept: npt.NDArray[np.bool_]) -> None:
        """Count values [rows]. One that is not a finite number is left out."""
        finite = np.isfinite(values.astype(np.float64))
        self.integral &= np.issubdtype(values.dtype, np.integer)
        numbers = values[finite].astype(np.float64)
        self.highest = max(self.highest, float(numbers.max(initial=0)))
        for name in grids_for(values):
            self.histograms[name].add(numbers, kept[finite])

    def merge(self, other: Profile) -> None:
        """Add the values of another one."""
        self.integral &= other.integral
        self.highest = max(self.highest, other.highest)
        for name, histogram in other.histograms.items():
            self.histograms[name].merge(histogram)

    @property
    def fitting(self) -> str:
        """The name of a grid: one bin per value for small whole numbers; for shares a grid from 0 to 1, logarithmic if most are
        close to 0; else a logarithmic grid."""
        if self.integral:
            return "integers" if self.highest < len(SMALL_INTEGERS) - 1 else "counts"
        if self.highest > 1:
            return "magnitudes"
        unit = self.histograms["unit"]
        low = int((unit.kept + unit.dropped)[: round(100 * SKEWED_BELOW)].sum())
        return "fractions" if low >= SKEWED_SHARE * max(1, unit.total) and unit.total > 20 else "unit"

    @property
    def shown(self) -> Histogram:
        """The values on the grid that fits."""
        return self.histograms[self.fitting]
