"""Draws the plan of a dry run: steps that are up to date, steps that would run, and estimates of disk and time.

Guarantee: drawing only. The estimates come from the size of the input and from the rates that the steps state. Cost: none.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from tokenmill.flows.cli.draw.terminal import amount, left_out
from tokenmill.flows.plan import Plan
from tokenmill.pipeline.base.shortage import free_bytes


def show(plan: Plan, console: Console, *, root: Path, workers: int) -> None:
    """Print the plan for the folder `root`, and whether its disk has room."""
    text_bytes = plan.input["text_bytes"]
    size, text = amount(plan.input["input_bytes"], "bytes"), amount(text_bytes, "bytes")
    console.print(f"{plan.input['files']:,} files, {size} to read, about {text} of text, {plan.input['splits']:,} shards")
    before = "left_out_"
    reasons = {name.removeprefix(before): count for name, count in plan.input.items() if name.startswith(before)}
    if reasons:
        console.print(left_out(reasons))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("step", "state", "disk at most", "time about"):
        table.add_column(heading, justify="right" if heading in ("disk at most", "time about") else "left")
    for name in plan.current:
        table.add_row(name, "up to date", "", "")
    for name in plan.stale:
        estimate = plan.estimate(name)
        if estimate is None:
            table.add_row(name, "to compute", "", "")
            continue
        seconds = text_bytes / estimate.text_bytes_per_second / workers
        table.add_row(name, "to compute", amount(text_bytes * estimate.disk_per_text, "bytes"), f"{seconds:.0f} s")
    console.print(table)
    free = free_bytes(root)
    if plan.stale and free is not None:
        console.print(f"disk: at most {amount(plan.needed_bytes, 'bytes')} more, {amount(free, 'bytes')} are free")
    if plan.superseded_bytes:
        size = amount(plan.superseded_bytes, "bytes")
        console.print(
            f"beside it, until the new corpus stands: at most {size} of the published one, which readers keep "
            "(--in-place keeps none)"
        )
