"""Charts as inline SVG: pure functions from numbers and labels to Markup.

Guarantee: every label is escaped. A chart has a role, a title, and no script, style or reference of its own (colours come from
the page's classes). Widths are shares of the page and heights are pixels, so a phone shows the same size of letters as a large
screen, with shorter bars.
Cost: O(bars).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from tokenmill.pipeline.base.words import clip, plain, share

ROW_PIXELS = 38
PLOT_PIXELS = 150
TOP_PIXELS = 22
BOTTOM_PIXELS = 22
CURVE_PIXELS, GAP_PIXELS, BARS_PIXELS = 110, 8, 46
LABEL_CHARACTERS = 40


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A row of a bar chart: a label, the values stacked from the left as (class, value), and a note at the right."""

    label: str
    parts: tuple[tuple[str, float], ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A label on an axis. `at` is a share of the width, 0 to 1."""

    at: float
    label: str


@dataclass(frozen=True)
class CurveLine:
    """A line of a chart: a class of the style, and points (x, y), x from 0 to 1."""

    name: str
    points: list[tuple[float, float]]


def bars(title: str, rows: Sequence[Bar]) -> Markup:
    """Horizontal bars on a common scale, each with its label above. The longest bar fills the width."""
    longest = max((sum(value for _, value in row.parts) for row in rows), default=0) or 1
    drawn: list[Markup] = []
    for number, row in enumerate(rows):
        y = number * ROW_PIXELS
        drawn.append(
            Markup('<text x="0" y="{}">{}</text><text class="note" x="100%" y="{}" text-anchor="end">{}</text>').format(
                y + 14, clip(plain(row.label), LABEL_CHARACTERS), y + 14, plain(row.note)
            )
        )
        drawn.append(Markup('<rect class="rail" x="0" y="{}" width="100%" height="10"/>').format(y + 20))
        left = 0.0
        for name, value in row.parts:
            width = 100 * value / longest
            if width:
                drawn.append(
                    Markup('<rect class="{}" x="{}%" y="{}" width="{}%" height="10"/>').format(
                        name, _short(left), y + 20, _short(max(width, 0.05))
                    )
                )
            left += width
    return _svg(title, max(1, len(rows)) * ROW_PIXELS - 4, drawn)


def histogram(title: str, kept: npt.NDArray[np.int64], dropped: npt.NDArray[np.int64], ticks: Sequence[Tick]) -> Markup:
    """Two counts per bin, stacked (kept below): int64 [bins] each."""
    floor = TOP_PIXELS + PLOT_PIXELS
    drawn = [
        Markup('<line class="axis" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(floor),
        *_stacked(kept, dropped, floor, PLOT_PIXELS, int((kept + dropped).max(initial=0))),
        *_labels(ticks, floor),
    ]
    return _svg(title, floor + BOTTOM_PIXELS, drawn)


def curve(
    title: str,
    lines: Sequence[CurveLine],
    kept: npt.NDArray[np.int64],
    dropped: npt.NDArray[np.int64],
    ticks: Sequence[Tick],
    mark: Tick,
) -> Markup:
    """Lines over their shares, from 0 to the highest, above a histogram on the same axis. `mark`: drawn through both.

    The highest bar is cut where it would leave no height to the others: see `cut_at`.
    """
    highest = max((y for line in lines for _, y in line.points), default=0.0) or 1.0
    bottom = TOP_PIXELS + CURVE_PIXELS
    floor = bottom + GAP_PIXELS + BARS_PIXELS
    drawn: list[Markup] = []
    # Labels stand where the lines are low.
    rises = bool(lines and lines[0].points) and lines[0].points[0][1] < lines[0].points[-1][1]
    x, anchor = ("0", "start") if rises else ("100%", "end")
    for part in (1.0, 0.5):
        y = TOP_PIXELS + CURVE_PIXELS * (1 - part)
        drawn.append(
            Markup(
                '<line class="axis" x1="0" x2="100%" y1="{0}" y2="{0}"/>'
                '<text class="note" x="{1}" y="{2}" text-anchor="{3}">{4}</text>'
            ).format(_short(y), x, _short(y + 13), anchor, share(part * highest, 1))
        )
    drawn.append(Markup('<line class="axis" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(bottom))
    for line in lines:
        # Parts of a line can be shares of the width, the points of a polyline cannot.
        for (left, high), (right, low) in itertools.pairwise(line.points):
            ys = [_short(TOP_PIXELS + CURVE_PIXELS * (1 - y / highest)) for y in (high, low)]
            drawn.append(
                Markup('<line class="line {}" x1="{}%" y1="{}" x2="{}%" y2="{}"/>').format(
                    line.name, _short(100 * left), ys[0], _short(100 * right), ys[1]
                )
            )
    drawn += _stacked(kept, dropped, floor, BARS_PIXELS, cut_at(kept + dropped))
    drawn.append(Markup('<line class="axis" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(floor))
    drawn += [*_labels(ticks, floor), _marked(mark, floor)]
    return _svg(title, floor + BOTTOM_PIXELS, drawn)


def cut_at(counts: npt.NDArray[np.int64]) -> int:
    """The count that fills the height: the highest, or three times the second where the highest is more than that."""
    if len(counts) < 2:
        return int(counts.max(initial=0))
    second, highest = np.sort(counts)[-2:].tolist()
    return min(highest, 3 * second) if second else int(highest)


def _stacked(
    kept: npt.NDArray[np.int64], dropped: npt.NDArray[np.int64], floor: int, pixels: int, highest: int
) -> list[Markup]:
    """Two counts per bin, kept below. `highest` of them fill `pixels` above `floor`; of more, both parts are cut alike."""
    step = 100 / max(1, len(kept))
    drawn = []
    for place in range(len(kept)):
        base = float(floor)
        scale = pixels / max(1, highest, int(kept[place] + dropped[place]))
        for name, value in (("kept", int(kept[place])), ("dropped", int(dropped[place]))):
            height = scale * value
            if value:
                height = max(height, 0.75)
                # There are thousands of bars, all of numbers: nothing to escape.
                drawn.append(
                    f'<rect class="{name}" x="{_short(place * step)}%" y="{_short(base - height)}" '
                    f'width="{_short(step * 0.88)}%" height="{_short(height)}"/>'
                )
            base -= height
    return [Markup("".join(drawn))]


def _labels(ticks: Sequence[Tick], floor: int) -> list[Markup]:
    return [
        Markup('<text class="note" x="{}%" y="{}" text-anchor="{}">{}</text>').format(
            _short(100 * tick.at), floor + 16, _anchor(tick.at), tick.label
        )
        for tick in ticks
    ]


def _marked(mark: Tick, floor: int) -> Markup:
    return Markup(
        '<line class="mark" x1="{0}%" x2="{0}%" y1="{1}" y2="{2}"/>'
        '<text class="marked" x="{0}%" y="12" text-anchor="{3}">{4}</text>'
    ).format(_short(100 * mark.at), TOP_PIXELS - 6, floor, _anchor(mark.at), mark.label)


def _anchor(at: float) -> str:
    return "start" if at < 0.12 else "end" if at > 0.88 else "middle"


def _short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _svg(title: str, height_pixels: int, drawn: Sequence[Markup]) -> Markup:
    return Markup('<svg role="img" width="100%" height="{}"><title>{}</title>{}</svg>').format(
        height_pixels, plain(title), Markup("").join(drawn)
    )
