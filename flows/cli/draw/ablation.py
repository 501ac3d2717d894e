"""Draws the result of an ablation: bits per byte by variant and seed, and what can be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(answer: Mapping[str, Any], console: Console) -> None:
    """Print a table for each held-out set, a line for each pair, and the verdict."""
    for name, one in answer["held_out"].items():
        title = f"{name}: {one['documents']:,} documents, {one['text_bytes']:,} bytes; bits per byte"
        table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
        table.add_column("variant", overflow="fold")
        for heading in (*(f"seed {seed}" for seed in answer["seeds"]), "mean"):
            table.add_column(heading, justify="right", no_wrap=True)
        for variant, found in one["bits_per_byte"].items():
            table.add_row(Text(variant), *(f"{value:.4f}" for value in (*found["seeds"], found["mean"])))
        console.print(table)
        for pair in one["differences"]:
            console.print(Text(pair["said"]))
        console.print()
    console.print(Text(answer["verdict"], style="bold"))
