"""Draws what `tokenmill decontaminate` found: a row for each set, then the items and the documents that matter most.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.flows.cli.draw.tables import visible
from tokenmill.pipeline.ask.contaminated import Contaminated

MOST = 10
"""Items and documents that are named; --json names all."""
COLUMNS = {"items": "items", "looked for": "sought", "found": "found", "common phrases": "common", "documents": "documents"}


def show(found: Contaminated, console: Console) -> None:
    """Draw the answer."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("set")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for name, facts in found.sets.items():
        table.add_row(name, *(f"{facts[key]:,}" for key in COLUMNS.values()))
    console.print(table)
    if found.documents:
        console.print("\nItems in most documents, with the greatest share of each that stands in one")
    for row in sorted(found.items, key=lambda row: -row["documents"])[:MOST]:
        console.print(Text(f"  {row['documents']:,}  {row['share']:.2f}  {row['set']} {visible(row['item'])}"))
    if found.documents:
        console.print("\nDocuments, with the item of which they hold most")
    for row in found.documents[:MOST]:
        console.print(Text(f"  {row['doc_id']}  {row['share']:.2f}  {row['set']} {visible(row['item'])}"))
