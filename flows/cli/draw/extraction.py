"""Draws the answer of `tokenmill extract evaluate`: extractors of main text side by side.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from tokenmill.pipeline.collect.extract.evaluate import MACRO, Mean


def show(table: Mapping[str, Mapping[str, Mean]], console: Console) -> None:
    """Print F1 with its interval, precision and recall: a row a set, a column an extractor."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("pages", justify="right")
    drawn.add_column("set")
    for extractor in table:
        drawn.add_column(extractor, justify="right")
    first = next(iter(table.values()))
    for name in (*(name for name in first if name != MACRO), MACRO):
        cells = [_cell(means[name]) for means in table.values()]
        drawn.add_row(f"{first[name].pages:,}", name, *cells, style="bold" if name == MACRO else None)
    console.print(drawn)
    console.print("\nF1 [95 % interval], precision and recall of tokens. macro: the mean over sets.", markup=False)
    for extractor, means in list(table.items())[1:]:
        macro = means[MACRO]
        console.print(
            f"{extractor} less {next(iter(table))}: {macro.ahead:+.3f} [{macro.ahead_low:+.3f}, {macro.ahead_high:+.3f}]",
            markup=False,
        )


def _cell(mean: Mean) -> str:
    return f"{_three(mean.f1)} \\[{_three(mean.low)}, {_three(mean.high)}] {_three(mean.precision)} {_three(mean.recall)}"


def _three(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")
