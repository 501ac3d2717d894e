"""Curves over the tokens of a training as inline SVG: pure functions from arrays to Markup.

Guarantee: as of `svg`. A curve of any number of points is drawn with at most `2 * COLUMNS`: of the values that share a column
the lowest and the highest, so that no spike is lost. What is not finite is a gap.
Cost: O(points) in NumPy, and about 10 bytes for each point drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from tokenmill.pipeline.base.words import plain

Floats = npt.NDArray[np.float64]
COLUMNS = 450
PLACES = 72
"""At which the pointer finds the values."""
WIDE = 1_000
"""Units of the width: the drawing is stretched to the page, its strokes are not."""
BOTTOM_PIXELS = 38
TICK_PIXELS = 36
APART_PIXELS = 15
DOTTED = 40
"""Points of a line up to which each has a dot."""
EARLY = 0.05
"""The part of a run, at its beginning, that may stick out of the top, so that the rest is seen."""
MANY = 20
"""Points of a line from which on that may be."""


@dataclass(frozen=True, kw_only=True)
class PlotLine:
    """A curve. `style`: its class. `label`: its name where the pointer is. `dots`: mark its points, if they are few."""

    style: str
    label: str
    x: Floats
    y: Floats
    dots: bool = False
    end: bool = True
    """Whether its last value stands at the right."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The horizontal one: from 0 to `stop`. `ticks`: place, and what stands there in each of the rows."""

    stop: float
    rows: tuple[str, ...]
    ticks: Sequence[tuple[float, tuple[str, ...]]]
    told: Callable[[float], str]
    """A place in words."""


@dataclass(frozen=True, kw_only=True)
class VerticalScale:
    """The vertical axis."""

    low: float
    high: float
    log: bool
    cut: bool = False
    """Whether the beginning of a line is above it."""

    def at(self, values: Floats) -> Floats:
        """Shares of the height, 0 at the bottom. What is not above 0 has no place on a logarithmic scale."""
        if not self.log:
            return np.asarray((values - self.low) / (self.high - self.low), dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.log(np.where(values > 0, values, np.nan))
        return np.asarray((found - math.log(self.low)) / (math.log(self.high) - math.log(self.low)), dtype=np.float64)

    def ticks(self, wanted: int) -> list[float]:
        """About `wanted` round values, ascending."""
        if self.log:
            decades = [10.0**power for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)]
            for parts in ((1, 2, 5), (1, 3), (1,)):
                found = [part * one for one in decades for part in parts if self.low <= part * one <= self.high]
                if len(found) <= wanted:
                    break
            if len(found) >= 2:
                return found[:: math.ceil(len(found) / wanted)]
        return rounds(self.low, self.high, wanted)


def scale(lines: Sequence[PlotLine], *, zero: bool = False, many: int = MANY) -> VerticalScale:
    """A scale that holds the lines: logarithmic over more than tenfold, or from `zero`.

    Lines of `many` points or more may begin above it.
    """
    low, high, highest = math.inf, -math.inf, -math.inf
    early = EARLY if max((len(line.x) for line in lines), default=0) >= many else 0.0
    for line in lines:
        good = np.isfinite(line.y)
        late = good & (line.x >= early * line.x.max(initial=0.0))
        if good.any():
            low = min(low, float(line.y[good].min()))
            high = max(high, float(line.y[late if late.any() else good].max()))
            highest = max(highest, float(line.y[good].max()))
    if low > high:
        return VerticalScale(low=0.0, high=1.0, log=False)
    if not zero and low > 0 and high > 10 * low:
        return VerticalScale(low=low / 1.1, high=high * 1.1, log=True, cut=highest > high * 1.1)
    low = min(0.0, low) if zero else low
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return VerticalScale(low=low if zero else low - margin, high=high + margin, log=False, cut=highest > high + margin)


def plot(
    title: str,
    told: str,
    lines: Sequence[PlotLine],
    axis: Axis,
    y: VerticalScale,
    *,
    pixels: int,
    marks: Floats | None = None,
    pointer: bool = True,
) -> Markup:
    """The lines above their axis.

    `told`: the same in a sentence, for who does not see it. `marks`: places along the bottom. `pointer`: say what the lines are
    where the pointer is.
    """
    drawn: list[Markup] = []
    for value in y.ticks(max(2, pixels // TICK_PIXELS)):
        height = _short(pixels * (1 - float(y.at(np.array(value)))))
        drawn.append(
            Markup(
                '<line class="axis" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
                '<text class="note" x="-8" y="{0}" dy="4" text-anchor="end">{1}</text>'
            ).format(height, short(value))
        )
    drawn.append(Markup('<line class="floor" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(pixels))
    drawn += _ticks(axis, pixels)
    # Units of the inner drawing stretch with the page, so that a whole curve is one short list of points.
    inner = Markup("").join(_drawn(line, axis, y, pixels) for line in lines)
    if marks is not None and len(marks):
        places = np.unique(np.round(WIDE * marks / axis.stop))
        inner += Markup('<path class="marks" d="{}"/>').format("".join(f"M{_short(x)} {pixels}v-8" for x in places.tolist()))
    drawn.append(
        Markup(
            '<svg class="inner" width="100%" height="{0}" viewBox="0 0 {1} {0}" preserveAspectRatio="none">{2}</svg>'
        ).format(pixels, WIDE, inner)
    )
    drawn += _ends([line for line in lines if line.end], y, pixels)
    if pointer:
        drawn += _pointed(lines, axis, pixels)
    return Markup('<svg class="plot" role="img" width="100%" height="{}"><title>{}</title><desc>{}</desc>{}</svg>').format(
        pixels + (BOTTOM_PIXELS if axis.rows else 4), plain(title), plain(told), Markup("").join(drawn)
    )


def smoothed(values: Floats) -> Floats:
    """The mean of the values around each: float64 [values]. What is not finite does not count.

    Around means a fiftieth of all of them, but 11 where they are fewer than 550, and a fifth where fewer than 55.
    """
    half = max(len(values) // 100, min(len(values) // 10, 5))
    good = np.isfinite(values)
    sums, counts = (np.concatenate([[0.0], np.cumsum(one)]) for one in (np.where(good, values, 0.0), good))
    first = np.maximum(np.arange(len(values)) - half, 0)
    last = np.minimum(np.arange(len(values)) + half + 1, len(values))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((sums[last] - sums[first]) / (counts[last] - counts[first]), dtype=np.float64)


def thinned(x: Floats, y: Floats, stop: float) -> tuple[Floats, Floats]:
    """At most `2 * COLUMNS` points in the place of many: the lowest and the highest value of each column."""
    if len(x) <= 2 * COLUMNS:
        return x, y
    column = np.minimum((x / stop * COLUMNS).astype(np.int64), COLUMNS - 1)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    pairs = np.stack([np.fmin.reduceat(y, first), np.fmax.reduceat(y, first)], axis=1)
    return np.repeat(x[first], 2), pairs.ravel()


def rounds(low: float, high: float, wanted: int) -> list[float]:
    """About `wanted` round values from `low` to `high`: multiples of 1, 2 or 5 times a power of 10."""
    rough = (high - low) / max(1, wanted)
    if not rough > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(part * power for part in (1, 2, 5, 10) if part * power >= rough * (1 - 1e-9))
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Three digits: 1234567 -> 1.23M, 0.031 -> 0.031, 0.00031 -> 3.1e-4."""
    size = abs(value)
    for unit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit * 0.9995:
            return f"{value / (1e3 if suffix == 'k' else unit):.3g}{suffix}" if size < 1e15 else f"{value:.2e}"
    if size >= 999.5:
        return f"{value:,.0f}"
    if not 0 < size < 1e-3:
        return f"{value:.3g}"
    digits, power = f"{value:.2e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


def _drawn(line: PlotLine, axis: Axis, y: VerticalScale, pixels: int) -> Markup:
    xs, ys = thinned(line.x, line.y, axis.stop)
    across, down = WIDE * xs / axis.stop, pixels * (1 - np.clip(y.at(ys), -1.0, 4.0))
    points = [
        f"{_short(left)},{_short(top)}" if math.isfinite(top) else ""
        for left, top in zip(across.tolist(), down.tolist(), strict=True)
    ]
    runs = [run.strip() for run in " ".join(point or "|" for point in points).split("|")]
    found = [Markup('<polyline class="curve {}" points="{}"/>').format(line.style, run) for run in runs if " " in run]
    alone = [run for run in runs if run and " " not in run]
    dots = [point for point in points if point] if line.dots and len(points) <= DOTTED else alone
    if dots:
        found.append(Markup('<path class="dots {}" d="{}"/>').format(line.style, "".join(f"M{point}h0" for point in dots)))
    return Markup("").join(found)


def _ticks(axis: Axis, pixels: int) -> list[Markup]:
    drawn = [
        Markup('<text class="note" x="-8" y="{}" text-anchor="end">{}</text>').format(pixels + 16 + 16 * row, name)
        for row, name in enumerate(axis.rows)
    ]
    # A narrow screen shows every other one.
    for number, (at, labels) in enumerate(axis.ticks):
        for row, label in enumerate(labels):
            style = f"{'note' if row else 'tick'}{' odd' if number % 2 and len(axis.ticks) > 4 else ''}"
            drawn.append(
                Markup('<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>').format(
                    style, _short(100 * at / axis.stop), pixels + 16 + 16 * row, "middle" if at else "start", label
                )
            )
    return drawn


def _ends(lines: Sequence[PlotLine], y: VerticalScale, pixels: int) -> list[Markup]:
    """The last value of each line, where the line ends; values that would overlap are moved apart."""
    found: list[tuple[float, str, str]] = []
    for line in lines:
        good = np.flatnonzero(np.isfinite(line.y))
        if len(good):
            value = line.y[good[-1:]]
            share = float(np.clip(np.nan_to_num(y.at(value)), 0.0, 1.0)[0])
            found.append((pixels * (1 - share), line.style, short(float(value[0]))))
    found.sort()
    for place in range(1, len(found)):
        top, style, said = found[place]
        found[place] = (max(top, found[place - 1][0] + APART_PIXELS), style, said)
    return [
        Markup('<text class="end {}" x="100%" dx="7" y="{}" dy="4">{}</text>').format(style, _short(top), said)
        for top, style, said in found
    ]


def _pointed(lines: Sequence[PlotLine], axis: Axis, pixels: int) -> list[Markup]:
    """Strips over the height of the chart that say, under the pointer, what each line is there."""
    base = max(lines, key=lambda line: len(line.x), default=None)
    if base is None or not len(base.x):
        return []
    places = base.x[np.unique(np.linspace(0, len(base.x) - 1, min(len(base.x), PLACES)).astype(np.int64))]
    edges = [0.0, *((places[:-1] + places[1:]) / 2).tolist(), axis.stop]
    drawn = []
    for x, (left, right) in zip(places.tolist(), pairwise(edges), strict=True):
        said = [axis.told(x)]
        for line in lines:
            known = int(np.searchsorted(line.x, x, side="right")) - 1
            if known >= 0 and np.isfinite(line.y[known]):
                value = float(line.y[known])
                said.append(f"{line.label} {f'{value:,.0f}' if 1e3 <= abs(value) < 1e9 else f'{value:.4g}'}")
        drawn.append(
            Markup('<rect class="at" x="{}%" width="{}%" height="{}"><title>{}</title></rect>').format(
                _short(100 * left / axis.stop), _short(100 * max(0.0, right - left) / axis.stop), pixels, "\n".join(said)
            )
        )
    return drawn


def _short(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0")
