"""Render the page of a training: its curves, what it says, its settings, why it ended.

Purpose: one look tells whether a run learns, how fast, on what, and what it costs.
Guarantee: one file that loads nothing, runs nothing and links to nothing (see `templates`). What the model says is hostile: it
is escaped, and hidden characters are shown. The page shows what the log says, and says how much of it cannot be read.
Cost: 0.1 seconds, and less than 500 kB for a run of any length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from tokenmill.pipeline.base import formats, words
from tokenmill.pipeline.report import svg
from tokenmill.pipeline.report.course import course, losses, parts, updates
from tokenmill.pipeline.report.history import Floats, History
from tokenmill.pipeline.report.plot import short
from tokenmill.pipeline.report.svg import Bar
from tokenmill.pipeline.report.templates import environment

ROWS = 200
"""Most rows of a table."""
SAMPLES = 12
"""Samples shown, spread over the run: the first and the last one always."""
SAMPLE_CHARACTERS = 800
PHASES = {
    "data": "waiting for data",
    "forward": "the forward pass",
    "backward": "the backward pass",
    "optimizer": "the optimizer",
}
COLOURS = 6
"""Of phases, in the style."""


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the log does not say."""

    corpus: str
    parameters: int
    vocabulary: int
    steps: int
    """Updates that the run is to make."""
    step: int
    tokens: int
    epochs: float
    """Updates, tokens read, and how often the text was read, in the last checkpoint."""
    facts: Sequence[tuple[str, str]]
    """The model, the text and the run in words, row by row."""
    settings: Mapping[str, Any]
    defaults: Mapping[str, Any]
    ended: str | None = None
    """Why it ended before its last update, if it did."""


@dataclass(frozen=True, kw_only=True)
class Time:
    """Where the time of an update goes. `legend`: class and words of each phase."""

    sentence: str
    chart: Markup
    legend: list[tuple[str, str]]


def render(run: RunFacts, history: History) -> str:
    """The HTML of the page. `history`: see `History.follow`."""
    of = course(history, run.step)
    step = max(run.step, history.last)
    tokens = history.column("tokens")
    speeds = history.column("tokens_per_second")
    samples = _spread(history.samples, SAMPLES)
    return (
        environment()
        .get_template("training.html")
        .render(
            run=run,
            version=formats.running(),
            step=step,
            finished=step >= run.steps,
            tokens=int(np.nanmax(tokens)) if np.isfinite(tokens).any() else run.tokens,
            last=history.evaluations[-1] if history.evaluations else None,
            speed=_median(speeds) if np.isfinite(speeds).any() else None,
            losses=losses(of, run.vocabulary),
            parts=[found for found in (parts(of, "sources"), parts(of, "languages")) if found],
            updates=updates(of),
            evaluations=_spread(history.evaluations, ROWS),
            time=_time(history),
            samples=[(one, words.clip(one.text, SAMPLE_CHARACTERS)) for one in samples],
            said=len(history.samples),
            skipped=len(history.skipped),
            unreadable=history.unreadable,
            of=of,
            short=short,
            most_rows=ROWS,
        )
    )


def _time(history: History) -> Time | None:
    """Where the time of an update goes; None if the log does not say it."""
    spent = history.seconds
    whole = sum(spent.values())
    if not history.timed or not whole > 0:
        return None
    names = [*(name for name in PHASES if name in spent), *sorted(spent.keys() - PHASES.keys())]
    styles = {name: f"phase-{min(number, COLOURS - 1)}" for number, name in enumerate(names)}
    most = max(names, key=lambda name: spent[name])
    each = _seconds(whole / history.timed)
    sentence = f"An update takes {each} on average. Most of it, {words.share(spent[most], whole)}, is {PHASES.get(most, most)}."
    if "data" in spent and most != "data":
        sentence += f" Waiting for data takes {words.share(spent['data'], whole)}."
    bar = Bar(label="An update", parts=tuple((styles[name], spent[name]) for name in names), note=each)
    return Time(
        sentence=sentence,
        chart=svg.bars("Time of an update by phase", [bar]),
        legend=[(styles[name], f"{PHASES.get(name, name)} {words.share(spent[name], whole)}") for name in names],
    )


def _seconds(value: float) -> str:
    """0.0123 -> 12.3 ms; 75 -> 75 s."""
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _median(values: Floats) -> float:
    return float(np.nanmedian(values))


def _spread(many: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of many, evenly, the first and the last among them."""
    if len(many) <= most:
        return list(many)
    return [many[round(at)] for at in np.linspace(0, len(many) - 1, most).tolist()]
