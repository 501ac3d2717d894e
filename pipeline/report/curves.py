"""What a stage would keep if one of its thresholds were another.

Purpose: choose a threshold by what it costs. For a curve, only the rows that fail no other rule of the stage matter: these are
kept exactly if this threshold lets them pass.
Guarantee: at every edge of the grid, documents and bytes are those that the stage would keep with that threshold and all its
other settings as they are; for a share of the documents, as if the score of its last document were the threshold. What later
stages would do is not counted. Cost: O(values log bins) time, kilobytes of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.report.histograms import GRIDS, Values, grids_for

Sums = npt.NDArray[np.int64]
STEPS = (0.01, 0.05, 0.2)
"""Thresholds are proposed that keep about so much more or fewer documents, as shares of those kept now."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Another threshold, with the documents and the bytes of text that the stage would keep."""

    value: float
    documents: int
    bytes: int


@dataclass(kw_only=True)
class Sole:
    """The rows that fail no other rule, by value. `least`: the threshold is a minimum; a value equal to it passes."""

    least: bool
    parts: dict[str, tuple[Sums, Sums]] = field(default_factory=dict)
    """By grid: documents and bytes below, between and above its n edges, int64 [n + 1] each."""

    def __post_init__(self) -> None:
        for name, grid in GRIDS.items():
            zeros = np.zeros(len(grid.edges) + 1, dtype=np.int64)
            self.parts[name] = (zeros, zeros.copy())

    def add(self, values: npt.NDArray[np.generic], sizes: npt.NDArray[np.int64]) -> None:
        """Count finite values [rows] and the bytes of their texts."""
        numbers = values.astype(np.float64)
        for name in grids_for(values):
            # With a minimum, an edge belongs to the values above it, with a maximum to those below.
            places = np.searchsorted(GRIDS[name].edges, numbers, side="right" if self.least else "left")
            documents, bytes_ = self.parts[name]
            np.add(documents, np.bincount(places, minlength=len(documents)), out=documents)
            # Sums of floats are exact below 2**53.
            np.add(bytes_, np.bincount(places, sizes, minlength=len(bytes_)).astype(np.int64), out=bytes_)

    def merge(self, other: Sole) -> None:
        """Add the rows of another one."""
        for name, sums in other.parts.items():
            for mine, theirs in zip(self.parts[name], sums, strict=True):
                np.add(mine, theirs, out=mine)

    def kept(self, grid: str) -> tuple[Sums, Sums]:
        """Documents and bytes kept with each edge of a grid as the threshold: int64 [edges] each."""
        documents, bytes_ = self.parts[grid]
        return self._kept(documents), self._kept(bytes_)

    def _kept(self, parts: Sums) -> Sums:
        below = np.cumsum(parts)[:-1]
        return np.asarray(below[-1] + parts[-1] - below if self.least else below, dtype=np.int64)

    def proposals(self, grid: str, threshold: float, now: int, *, low: float, high: float) -> list[Proposal]:
        """For each step up and down, the edge nearest to the threshold that makes so much difference, in ascending order.

        `now`: documents kept with `threshold`. Only edges from `low` to `high` count.
        """
        edges = GRIDS[grid].edges
        documents, bytes_ = self.kept(grid)
        usable = (edges >= low) & (edges <= high) & (edges != threshold)
        found: dict[int, None] = {}
        for upward in (False, True):
            side = np.flatnonzero(usable & ((edges > threshold) if upward else (edges < threshold)))
            ordered = side if upward else side[::-1]
            changes = np.abs(documents[ordered] - now)
            for step in STEPS:
                reached = np.flatnonzero(changes >= max(1, step * now))
                if len(reached):
                    found[int(ordered[reached[0]])] = None
                elif len(ordered) and changes.max() > 0:
                    found[int(ordered[int(changes.argmax())])] = None
        return [Proposal(value=float(edges[at]), documents=int(documents[at]), bytes=int(bytes_[at])) for at in sorted(found)]


def looser(edges: Values, threshold: float, low: float, high: float, *, least: bool) -> float:
    """The edge nearest to a threshold that lets more pass, else the nearest one; the threshold where there is no other."""
    usable = edges[(edges >= low) & (edges <= high) & (edges != threshold)]
    side = usable[usable < threshold] if least else usable[usable > threshold]
    candidates = side if len(side) else usable
    return float(candidates[np.abs(candidates - threshold).argmin()]) if len(candidates) else threshold


def nearest(threshold: float, proposals: list[Proposal], now: int) -> Proposal | None:
    """The one to try first: the smallest gain, else the smallest loss."""

    def order(one: Proposal) -> tuple[bool, int, float]:
        return one.documents < now, abs(one.documents - now), abs(one.value - threshold)

    return min(proposals, key=order, default=None)


def corners(xs: list[float], ys: list[float]) -> Iterator[tuple[float, float]]:
    """The points of a line without those in the middle of three of one height."""
    for at, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if not 0 < at < len(xs) - 1 or not ys[at - 1] == y == ys[at + 1]:
            yield x, y
