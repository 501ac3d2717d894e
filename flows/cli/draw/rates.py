"""A range test of learning rates, as a table with bars. Cost: none."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tokenmill.flows.training import RatesTried

ROWS = 20
BAR = 32


def drawn(found: RatesTried) -> Group:
    """Some updates, a row each: the learning rates, the loss, and a bar as long as the loss has fallen; then the verdict."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*found.peaks, "loss"):
        table.add_column(name, justify="right")
    table.add_column("what was learned")
    highest, lowest = (pick(loss for _, loss in found.losses) for pick in (max, min))
    for part, loss in found.losses[:: max(1, len(found.losses) // ROWS)]:
        learned = (highest - loss) / max(1e-9, highest - lowest)
        table.add_row(*(f"{peak * part:.2g}" for peak in found.peaks.values()), f"{loss:.3f}", "█" * round(BAR * learned))
    said = "; ".join(
        f"train.{name}: fastest at {peak * found.steepest:.2g}, lowest at {peak * found.lowest:.2g}"
        for name, peak in found.peaks.items()
    )
    return Group(table, Text(f"{said}. {verdict(found)}"))


def verdict(found: RatesTried) -> str:
    """What to do now."""
    if found.lowest == found.losses[-1][0]:
        return "The loss still falls at the highest rates: raise these settings, and test again."
    if found.steepest >= found.lowest:
        return "The curve is too rough to tell: test again with more --updates."
    return "Take peaks between these."
