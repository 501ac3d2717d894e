"""Draws what a corpus was expected to be like and is, over its runs.

Guarantee: drawing only. Names come from settings; characters that could control a terminal are shown as their code points.
Cost: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.pipeline.ask.expectations import ExpectedRun, spelled
from tokenmill.pipeline.base.words import plain


def show(runs: Sequence[ExpectedRun], console: Console) -> None:
    """Draw the newest run as a table, with the values of earlier runs beside it, the newest first."""
    newest, *earlier = runs
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("expectation", "wanted", "now", ""):
        table.add_column(heading, overflow="fold")
    if earlier:
        table.add_column(f"{len(earlier)} earlier run{'' if len(earlier) == 1 else 's'}", overflow="fold")
    for one in newest.expectations:
        before = [old for run in earlier for old in run.expectations if old.metric == one.metric]
        values = ", ".join(spelled(old) + ("" if old.met else " (missed)") for old in before)
        said = Text("met", style="green") if one.met else Text("missed", style="bold red")
        cells = [Text(plain(one.metric)), Text(plain(one.wanted)), Text(spelled(one)), said]
        table.add_row(*cells, *([Text(values)] if earlier else []))
    console.print(
        Text(
            f"\nexpectations of run {plain(newest.run)}: {len(newest.expectations) - newest.missed} met, {newest.missed} missed"
        )
    )
    console.print(table)
