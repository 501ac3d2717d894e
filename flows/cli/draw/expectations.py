"""Draws what a corpus was expected to be like and is, over its runs.

Guarantee: drawing only. Names come from settings; characters that could control a terminal are shown as their code points.
Cost: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.pipeline.ask.expectations import ExpectedRun, earlier, spelled
from tokenmill.pipeline.base.words import plain


def show(runs: Sequence[ExpectedRun], console: Console) -> None:
    """Draw the newest run as a table, with the values of earlier runs beside it, the newest first."""
    newest, *older = runs
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("expectation", "wanted", "now", ""):
        table.add_column(heading, overflow="fold")
    if older:
        table.add_column(f"{len(older)} earlier run{'' if len(older) == 1 else 's'}", overflow="fold")
    for one in newest.expectations:
        said = Text("met", style="green") if one.met else Text("missed", style="bold red")
        cells = [Text(plain(one.metric)), Text(plain(one.wanted)), Text(spelled(one)), said]
        table.add_row(*cells, *([Text(earlier(older, one.metric))] if older else []))
    console.print(
        Text(
            f"\nexpectations of run {plain(newest.run)}: {len(newest.expectations) - newest.missed} met, {newest.missed} missed"
        )
    )
    console.print(table)
