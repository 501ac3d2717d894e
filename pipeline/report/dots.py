"""Rows of dots and intervals on a common scale, as inline SVG.

Guarantee: as of `svg`: labels are escaped, and colours come from the page's classes. Cost: O(dots).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tokenmill.pipeline.base.words import clip, plain
from tokenmill.pipeline.report.plot import rounds

ROW_PIXELS, AXIS_PIXELS = 44, 24
MARGIN = 0.06
"""Of the width, at both ends."""
LABEL_CHARACTERS = 60
TICKS = 5


@dataclass(frozen=True, kw_only=True)
class DotRow:
    """A label above, a note at its right, and below them dots, a mark and an interval. `faint`: it shows no difference."""

    label: str
    note: str
    at: float
    dots: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    faint: bool = False


def dots(title: str, rows: Sequence[DotRow], *, zero: str | None = None, band: float = 0.0) -> Markup:
    """A chart of rows. `zero`: what the line at 0 is called; without it, 0 need not be there. `band`: shaded around 0."""
    values = [value for row in rows for value in (row.at, *row.dots, *(row.interval or ()))]
    values += [0.0, band, -band] if zero is not None else []
    low, high = min(values), max(values)
    low, high = (low, high) if low < high else (low - 0.001, high + 0.001)

    def place(value: float) -> str:
        share = MARGIN + (1 - 2 * MARGIN) * (value - low) / (high - low)
        return f"{100 * share:.2f}%"

    def width(size: float) -> str:
        return f"{100 * (1 - 2 * MARGIN) * size / (high - low):.2f}%"

    floor = len(rows) * ROW_PIXELS + 4
    drawn: list[Markup] = []
    for number, row in enumerate(rows):
        y = number * ROW_PIXELS
        middle = y + 31
        style = "seed faint" if row.faint else "seed"
        drawn.append(
            Markup(
                '<text x="0" y="{0}">{1}</text><text class="note" x="100%" y="{0}" text-anchor="end">{2}</text>'
                '<line class="axis" x1="0" x2="100%" y1="{3}" y2="{3}"/>'
            ).format(y + 15, clip(plain(row.label), LABEL_CHARACTERS), plain(row.note), middle)
        )
        if zero is not None:
            drawn.append(
                Markup(
                    '<rect class="rail" x="{}" y="{y}" width="{}" height="20"/>'
                    '<line class="mark" x1="{x}" x2="{x}" y1="{y}" y2="{}"/>'
                ).format(place(-band), width(2 * band), middle + 10, x=place(0.0), y=middle - 10)
            )
        if row.interval is not None:
            drawn.append(
                Markup('<line class="span {}" x1="{}" x2="{}" y1="{y}" y2="{y}"/>').format(
                    "faint" if row.faint else "", *map(place, row.interval), y=middle
                )
            )
        drawn += [Markup('<circle class="{}" cx="{}" cy="{}" r="5"/>').format(style, place(x), middle) for x in row.dots]
        drawn.append(
            Markup('<line class="mean" x1="{x}" x2="{x}" y1="{}" y2="{}"/>').format(middle - 8, middle + 8, x=place(row.at))
        )
    for tick in rounds(low, high, TICKS):
        text = zero if zero is not None and tick == 0 else f"{tick:.6g}".replace("-", "\u2212")
        drawn.append(
            Markup('<text class="note" x="{}" y="{}" text-anchor="middle">{}</text>').format(place(tick), floor + 15, text)
        )
    return Markup('<svg role="img" width="100%" height="{}"><title>{}</title>{}</svg>').format(
        floor + AXIS_PIXELS, plain(title), Markup("").join(drawn)
    )
