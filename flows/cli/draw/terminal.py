"""Draws progress with rate and time left, the funnel, and readable amounts.

Guarantee: drawing only; nothing here changes a result. Cost: at most ten drawings per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tokenmill.pipeline.ask.status import Status

REASONS = 3
"""Number of reasons that the funnel names for each stage. The report names all."""
NARROW, WIDE = 46, 84
"""Columns of a terminal below which a line of progress has no bar, or no rates."""
UNITS = ("", "k", "M", "G", "T")


def amount(value: float, unit: str) -> str:
    """Format an amount with its unit, for example 1234567 and "bytes" as "1.2 MB"."""
    suffix = "B" if unit == "bytes" else f" {unit}"
    for prefix in UNITS:
        if abs(value) < 1000 or prefix == UNITS[-1]:
            number = f"{value:.0f}" if prefix == "" else f"{value:.1f}"
            return f"{number} {prefix}{suffix}".replace("  ", " ") if prefix or unit == "bytes" else f"{number}{suffix}"
        value /= 1000
    raise AssertionError


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{amount(task.speed, task.fields['unit'])}/s" if task.speed else "", style="dim")


class _DoneColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = task.fields["unit"]
        return Text(f"{amount(task.completed, unit)} of {amount(task.total or 0, unit)}", style="dim")


def _columns(width: int) -> tuple[ProgressColumn, ...]:
    """What a line of progress shows on a terminal of this width, so that it stays one line."""
    name = TextColumn("{task.description:<10}")
    if width < NARROW:
        return name, TaskProgressColumn()
    if width < WIDE:
        return name, BarColumn(bar_width=min(40, width - NARROW + 8)), _DoneColumn()
    times = (TimeElapsedColumn(), TextColumn("left", style="dim"), TimeRemainingColumn())
    return name, BarColumn(bar_width=min(40, width - WIDE + 10)), _DoneColumn(), _Rate(), *times


class Terminal:
    """`tokenmill.pipeline.base.progress.Progress` on a terminal: a bar per step; one line per step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task: TaskID | None = None
        self._step = ""

    def begin(self, step: str, total: int, unit: str) -> None:
        self._finish()
        self._step = step
        self._bars.columns = _columns(self._console.width)
        self._bars.start()
        self._task = self._bars.add_task(step, total=total, unit=unit)

    def advance(self, amount: int) -> None:
        if self._task is not None:
            self._bars.advance(self._task, amount)

    def end(self, note: str) -> None:
        self._finish()
        self._console.print(Text.assemble((f"{self._step:<10}", "bold"), f" {note}"))

    def say(self, line: str) -> None:
        self._console.print(Text(line, style="dim"))

    def close(self) -> None:
        """Leave the terminal as it was, however the work ended."""
        self._finish()

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
            self._bars.stop()


def on_standard_error() -> Terminal:
    """Progress on standard error, for calls from Python: standard output belongs to the caller."""
    return Terminal(Console(stderr=True, highlight=False, soft_wrap=True))


def alarms(status: Status) -> Text:
    """One line for each source that lost unusually many documents as duplicates."""
    return Text("\n").join(Text(f"alarm: {line}", style="yellow") for line in status.alarms)


def left_out(reasons: Mapping[str, int]) -> Text:
    """A line about the entries of the input's folders that are not read."""
    return Text("not read: " + ", ".join(f"{reason} {count:,}" for reason, count in reasons.items()), style="dim")


def record_types(types: Mapping[str, Mapping[str, int]]) -> Text:
    """A line for each source with web archives, about the types of their records."""
    named = {source: ", ".join(f"{kind} {count:,}" for kind, count in of.items()) for source, of in types.items()}
    return Text("\n").join(Text(f"web archives of {source}: {line}", style="dim") for source, line in named.items())


def funnel(status: Status) -> Table:
    """The funnel of a corpus as a table for the terminal."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("stage", "read", "kept", "dropped", "quarantined", "text kept", "seconds"):
        words = heading in ("stage", "dropped")
        table.add_column(heading, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    for stage in status.stages:
        most = sorted(stage.dropped.items(), key=lambda item: (-item[1], item[0]))
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in most[:REASONS]) or "-"
        if most[REASONS:]:
            reasons += f", {len(most) - REASONS} more reasons {sum(count for _, count in most[REASONS:]):,}"
        seconds = "" if stage.seconds is None else f"{stage.seconds:.1f}"
        counts = (f"{stage.read:,}", f"{stage.kept:,}", reasons, f"{stage.quarantined:,}")
        table.add_row(stage.stage, *counts, amount(stage.bytes_kept, "bytes"), seconds)
    return table
