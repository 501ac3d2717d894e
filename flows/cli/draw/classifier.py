"""Draws the answer of `tokenmill quality train`: how well the model does on the held-out documents.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from tokenmill.pipeline.stages.quality.train import NEGATIVE, POSITIVE, Measured


def show(measured: Measured, out: Path, console: Console) -> None:
    """Print how well the model does on the held-out documents."""
    learnt, held = measured.learnt, {label: len(scores) for label, scores in measured.scores.items()}
    console.print(
        f"trained on: {learnt[POSITIVE]:,} positive and {learnt[NEGATIVE]:,} negative distinct documents", markup=False
    )
    if measured.contradicting:
        console.print(f"left out, because they are both positive and negative: {measured.contradicting:,} documents")
    console.print(
        f"held out: {held[POSITIVE]:,} positive and {held[NEGATIVE]:,} negative documents; accuracy {measured.accuracy:.4f}, "
        f"precision {measured.precision:.4f}, recall {measured.recall:.4f}\n"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("held-out documents below", "positive", "negative"):
        table.add_column(heading, justify="right")
    for share, *scores in measured.quantiles():
        table.add_row(f"{share:.0%}", *(f"{score:.6f}" for score in scores))
    console.print(table)
    console.print(f"\nmodel: {out}", markup=False)
