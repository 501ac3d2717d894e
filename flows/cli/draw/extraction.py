"""Draws the answer of `tokenmill extract evaluate`: extractors of main text side by side.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from rich.console import Console
from rich.table import Table

from tokenmill.pipeline.collect.extract.evaluate import MACRO, Mean


def show(table: Mapping[str, Mapping[str, Mean]], console: Console) -> None:
    """Print F1 with its interval, precision and recall, and then by how much each extractor is ahead of the first: a row a set
    or page type, a column an extractor."""
    first = next(iter(table))
    console.print(_drawn(table, table, _cell))
    console.print("\nF1 [95 % interval], precision and recall of tokens. macro: the mean over sets.", markup=False)
    if len(table) > 1:
        console.print(f"\nF1 less that of {first} [95 % interval]:\n", markup=False)
        console.print(_drawn(table, [name for name in table if name != first], _ahead))


def _drawn(table: Mapping[str, Mapping[str, Mean]], shown: Collection[str], cell: Callable[[Mean], str]) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("pages", justify="right")
    drawn.add_column("set")
    columns = [table[extractor] for extractor in shown]
    for extractor in shown:
        drawn.add_column(extractor, justify="right")
    pages = next(iter(table.values()))
    for name in (*(name for name in pages if name != MACRO), MACRO):
        cells = [cell(means[name]) for means in columns]
        drawn.add_row(f"{pages[name].pages:,}", name, *cells, style="bold" if name == MACRO else None)
    return drawn


def _cell(mean: Mean) -> str:
    return f"{_three(mean.f1)} \\[{_three(mean.low)}, {_three(mean.high)}] {_three(mean.precision)} {_three(mean.recall)}"


def _ahead(mean: Mean) -> str:
    return f"{mean.ahead:+.3f} \\[{mean.ahead_low:+.3f}, {mean.ahead_high:+.3f}]"


def _three(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
