"""The charts of a training: what its log says of each update and each evaluation, over the tokens read.

Guarantee: pure functions of the history; a chart of which nothing is known is left out. Cost: O(updates) in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup

from tokenmill.pipeline.base import words
from tokenmill.pipeline.report.history import Floats, History
from tokenmill.pipeline.report.plot import Axis, PlotLine, VerticalScale, plot, rounds, scale, short, smoothed

PANELS = 24
"""Sources, and languages, that have a chart of their own: those with the highest losses."""
TALL, MIDDLE, SMALL = 280, 170, 80
"""Pixels of charts."""
FEW = 5
"""Evaluations from which on the first may be above their charts, so that later ones are told apart."""
TICKS = 6
UPDATES = {
    "learning_rate": ("Learning rate", "How far an update moves the weights: it rises, stays, and falls."),
    "gradient_norm": ("Gradient norm", "The gradient's length before it is clipped. Peaks that grow announce trouble."),
    "tokens_per_second": ("Tokens per second", "The speed of the updates alone, without evaluations and checkpoints."),
    "mfu": ("MFU", "Model FLOPs utilisation: the part of the device's peak that the model's own arithmetic uses."),
    "loss_scale": ("Loss scale", "What float16 multiplies the loss by. It halves when gradients overflow."),
}
"""Numbers of the log that have a small chart, with its title and what they mean."""
EXACT = {"learning_rate", "loss_scale"}
"""Those that need no smoothing."""
NOT_FROM_ZERO = {"gradient_norm", "loss_scale"}
CUT = " The beginning is above the top of the chart."


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing with its heading, what it means, and its legend: class and words of each line."""

    title: str
    chart: Markup
    caption: str
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Validation losses by source or language. `rows`: name, first and last loss in nats per token, the highest first."""

    kind: Literal["sources", "languages"]
    rows: list[tuple[str, str, str]]
    panels: list[tuple[str, Markup]]
    """Name and chart; none where there is one part only."""


@dataclass(frozen=True, kw_only=True)
class TrainingCourse:
    """A history and where its steps stand on the axis. `at`: places of steps, float64 [n] each."""

    history: History
    axis: Axis
    at: Callable[[Floats], Floats]

    @property
    def by_tokens(self) -> bool:
        """Whether the axis is of tokens. It is of updates where the log does not say tokens."""
        return len(self.axis.rows) == 2

    def place(self, step: int) -> float:
        """Where a step stands."""
        return float(self.at(np.array([step], dtype=np.float64))[0])

    def evaluated(self, style: str, label: str, points: Sequence[tuple[int, float]]) -> PlotLine:
        """A line through (step, value)."""
        x = self.at(np.array([step for step, _ in points], dtype=np.float64))
        return PlotLine(style=style, label=label, x=x, y=np.array([y for _, y in points], dtype=np.float64), dots=True)


def course(history: History, steps: int) -> TrainingCourse:
    """The axis of tokens with the updates below, or of updates alone, at least up to `steps`."""
    of_steps, of_tokens = history.steps.astype(np.float64), history.column("tokens")
    known = np.isfinite(of_tokens)
    of_steps, of_tokens = (np.concatenate([[0.0], one[known]]) for one in (of_steps, of_tokens))
    if len(of_tokens) == 1 or not np.all(np.diff(of_tokens) > 0):
        stop = 1.01 * max(1, history.last, steps)
        bare = [(place, (short(place),)) for place in rounds(0, stop, TICKS) if place == int(place)]
        axis = Axis(stop=stop, rows=("updates",), ticks=bare, told=lambda place: f"update {place:,.0f}")
        return TrainingCourse(history=history, axis=axis, at=lambda step: step)
    rate = of_tokens[-1] / of_steps[-1]

    def at(step: Floats) -> Floats:
        # An evaluation may stand behind the last update that says its tokens.
        beyond = np.maximum(0.0, step - of_steps[-1]) * rate
        return np.asarray(np.interp(step, of_steps, of_tokens) + beyond, dtype=np.float64)

    def update(place: float) -> int:
        return round(float(np.interp(place, of_tokens, of_steps)))

    # A little more than all, so that the last point is seen whole.
    stop = 1.01 * float(at(np.array([history.last], dtype=np.float64))[0])
    ticks: list[tuple[float, tuple[str, ...]]] = []
    last = -1
    for place in rounds(0, stop, TICKS):
        ticks.append((place, (short(place), short(update(place)) if update(place) != last else "")))
        last = update(place)
    axis = Axis(
        stop=stop,
        rows=("tokens", "updates"),
        ticks=ticks,
        told=lambda place: f"update {update(place):,}, {short(place)} tokens",
    )
    return TrainingCourse(history=history, axis=axis, at=at)


def losses(of: TrainingCourse, vocabulary: int) -> list[Chart]:
    """The large charts: the loss, and bits per byte."""
    history = of.history
    x, loss = of.at(history.steps.astype(np.float64)), history.column("loss")
    validation = of.evaluated("validation", "validation loss", [(one.step, one.loss) for one in history.evaluations])
    bits = of.evaluated("validation", "bits per byte", [(one.step, one.bits_per_byte) for one in history.evaluations])
    found = []
    if np.isfinite(loss).any() or np.isfinite(validation.y).any():
        mean = smoothed(loss)
        lines = [
            PlotLine(style="raw", label="training loss", x=x, y=loss, end=False),
            PlotLine(style="training", label="smoothed", x=x, y=mean),
            validation,
        ]
        skipped = np.array(history.skipped, dtype=np.float64)
        told = f"Training loss {ends(mean)}; validation loss {ends(validation.y)}."
        y = scale(lines)
        caption = (
            "How surprised the model is by the next token: lower is better. Each update has other training text, so that curve "
            "is rough. Validation text is never trained on, and its loss rises again if the model learns by heart. Guessing "
            f"among all {words.count(vocabulary)} tokens alike would lose {math.log(max(1, vocabulary)):.2f}."
        )
        if len(skipped):
            caption += f" Marks at the bottom are skipped updates ({words.count(len(skipped))})."
        found.append(
            Chart(
                title="Loss, in nats per token",
                chart=plot("Loss", told, lines, of.axis, y, pixels=TALL, marks=of.at(skipped)),
                caption=caption + (CUT if y.cut else ""),
                legend=(("raw", "training, each update"), ("training", "training, smoothed"), ("validation", "validation")),
            )
        )
    if np.isfinite(bits.y).any():
        y = scale([bits], many=FEW)
        caption = (
            "The validation loss for each byte of text. Unlike nats per token, it compares models with different tokenizers. "
            "Text that is not compressed has 8."
        )
        chart = plot("Bits per byte", f"Bits per byte {ends(bits.y)}.", [bits], of.axis, y, pixels=MIDDLE)
        found.append(Chart(title="Bits per byte", chart=chart, caption=caption + (CUT if y.cut else "")))
    return found


def updates(of: TrainingCourse) -> list[Chart]:
    """A chart for each other number that the log has."""
    x = of.at(of.history.steps.astype(np.float64))
    found = []
    for name, (title, caption) in UPDATES.items():
        values = of.history.column(name)
        if not np.isfinite(values).any():
            continue
        lines = [PlotLine(style="training", label=title, x=x, y=values)]
        if name not in EXACT:
            raw = PlotLine(style="raw", label=title, x=x, y=values, end=False)
            lines = [raw, PlotLine(style="training", label="smoothed", x=x, y=smoothed(values))]
        y = scale(lines, zero=name not in NOT_FROM_ZERO)
        chart = plot(title, f"{title} {ends(lines[-1].y)}.", lines, of.axis, y, pixels=MIDDLE)
        found.append(Chart(title=title, chart=chart, caption=caption + (CUT if y.cut else "")))
    return found


def parts(of: TrainingCourse, kind: Literal["sources", "languages"]) -> Parts | None:
    """The validation loss of each source or language, on one scale; None if the log says none."""
    by: dict[str, list[tuple[int, float]]] = {}
    for one in of.history.evaluations:
        for name, value in (one.sources if kind == "sources" else one.languages).items():
            if math.isfinite(value):
                by.setdefault(name, []).append((one.step, value))
    if not by:
        return None
    ranked = sorted(by, key=lambda name: (-by[name][-1][1], name))
    panels = []
    if len(by) > 1:
        lines = {name: of.evaluated("validation", name, by[name]) for name in ranked[:PANELS]}
        whole = of.evaluated("whole", "all", [(one.step, one.loss) for one in of.history.evaluations])
        y = scale([*lines.values(), whole], many=FEW)
        panels = [(name, _panel(name, line, whole, of.axis, y)) for name, line in lines.items()]
    return Parts(kind=kind, rows=[(name, short(by[name][0][1]), short(by[name][-1][1])) for name in ranked], panels=panels)


def _panel(name: str, line: PlotLine, whole: PlotLine, axis: Axis, y: VerticalScale) -> Markup:
    """A small chart without numbers under the pointer, since there may be dozens."""
    bare = Axis(stop=axis.stop, rows=(), ticks=(), told=axis.told)
    faint = PlotLine(style="whole", label=whole.label, x=whole.x, y=whole.y, end=False)
    title = f"Validation loss of {words.clip(name, 60)}"
    return plot(title, f"It goes {ends(line.y)}.", [faint, line], bare, y, pixels=SMALL, pointer=False)


def ends(values: Floats) -> str:
    """The first and the last value in words."""
    good = values[np.isfinite(values)]
    return f"from {short(float(good[0]))} to {short(float(good[-1]))}" if len(good) else "is not known"
