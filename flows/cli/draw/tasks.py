"""What lm-eval measured, as a table. Cost: none."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

ERROR = "_stderr,"


def table_of(found: Mapping[str, Mapping[str, float]]) -> Table:
    """A row for each task, metric and filter, with the standard error where lm-eval gives one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("task", "metric", "filter", "value", "standard error"):
        table.add_column(heading, justify="right" if heading in ("value", "standard error") else "left")
    for task, metrics in found.items():
        for name, value in metrics.items():
            if ERROR in name:
                continue
            metric, _, kind = name.partition(",")
            error = metrics.get(f"{metric}{ERROR}{kind}")
            table.add_row(task, metric, kind, f"{value:.4f}", "" if error is None else f"{error:.4f}")
    return table
