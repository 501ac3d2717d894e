"""The chart of a rule: what other thresholds would keep, above how the values are distributed, on one axis.

Guarantee: the curve goes through exact numbers at every edge of the grid, and the threshold is drawn at its place. Axes are
logarithmic where values are skewed, as `histograms.Profile` decides. Cost: O(bins).
"""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from tokenmill.pipeline.base.words import NARROW_SPACE, number
from tokenmill.pipeline.report import curves, svg
from tokenmill.pipeline.report.curves import Proposal
from tokenmill.pipeline.report.histograms import GRIDS, Histogram
from tokenmill.pipeline.report.svg import CurveLine, Tick
from tokenmill.pipeline.report.tallies import RuleTally

TICKS = 5


def chart(tally: RuleTally) -> Markup | None:
    """None for a rule without a threshold or without values."""
    limit, whole, grid = tally.criterion.limit, tally.profile.shown, tally.profile.fitting
    if limit is None or not np.isfinite(limit.threshold) or not whole.total:
        return None
    shown = whole.trimmed(limit.threshold)
    first = int(np.flatnonzero(whole.edges == shown.edges[0])[0])
    # A bin of one whole number has its label below its middle, and a maximum is drawn at its right edge.
    wide = int(GRIDS[grid].single)
    shift = 0 if limit.is_minimum else wide
    bins = len(shown.kept)
    documents, bytes_ = tally.sole.kept(grid)
    places = [at for at in range(first, first + bins + 1) if at - first + shift <= bins]
    xs = [(at - first + shift) / bins for at in places]
    totals = (tally.concerned + tally.missing, tally.bytes)
    lines = [
        CurveLine(name, [(x, y) for x, y in curves.corners(xs, [float((sums[at] + rest) / max(1, total)) for at in places])])
        for name, sums, rest, total in (
            ("documents", documents, tally.others[0], totals[0]),
            ("tokens", bytes_, tally.others[1], totals[1]),
        )
    ]
    sign = "≥" if limit.is_minimum else "≤"
    mark = Tick(at=shown.position(limit.threshold + shift), label=f"{sign}{NARROW_SPACE}{number(limit.threshold)}")
    return svg.curve(
        f"Kept by the stage if {tally.criterion.name} were another, and the values of documents",
        lines,
        shown.kept,
        shown.dropped,
        ticks(shown, wide),
        mark,
    )


def is_logarithmic(tally: RuleTally) -> bool:
    """Whether the axis of the chart is logarithmic."""
    return GRIDS[tally.profile.fitting].logarithmic


def cut(tally: RuleTally) -> int:
    """The number of documents in a bar that the chart cuts; 0 if it cuts none."""
    whole = tally.profile.shown
    counts = whole.kept + whole.dropped
    highest = int(counts.max(initial=0))
    return highest if highest > svg.cut_at(counts) else 0


def ticks(shown: Histogram, wide: int) -> list[Tick]:
    """At most TICKS labels below the bins. `wide`: 1 where a bin stands for one whole number."""
    bins = len(shown.kept)
    places = sorted({round(step * (bins - wide) / (TICKS - 1)) for step in range(TICKS)})
    return [Tick(at=(place + wide / 2) / bins, label=number(float(shown.edges[place]))) for place in places]


def proposals(tally: RuleTally, kept: int, low: float, high: float) -> list[Proposal]:
    """Other thresholds from `low` to `high`, in ascending order; see `curves`. `kept`: documents that the stage keeps."""
    limit, profile = tally.criterion.limit, tally.profile
    if limit is None or not profile.shown.total:
        return []
    return tally.sole.proposals(profile.fitting, limit.threshold, kept - tally.others[0], low=low, high=high)
