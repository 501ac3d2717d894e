"""What a dry run says: what is up to date, what would be computed, and an estimate of disk and time.

Guarantee: nothing is written. The estimates come from the sizes of the input and the rates below, no more.
Cost: one listing of the sources.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tokenmill.flows.build import Preview
from tokenmill.flows.cli.draw.terminal import amount

MB = 1_000_000
# Text per second and process, measured on one core of a server (AVX-512) on installed documentation, and bytes on disk per
# byte of text that reaches the step: Parquet with zstd, signatures, tokens of two bytes, the parts kept for resuming, and what
# is on disk only while a step runs.
TEXT_BYTES_PER_SECOND = {
    "collect": 2 * MB,
    "language": 40 * MB,
    "dedup": 60 * MB,
    "repeats": 50 * MB,
    "quality": 40 * MB,
    "tokenizer": 40 * MB,
    "pack": 40 * MB,
}
DISK_PER_TEXT = {
    "collect": 0.4,
    "language": 0.01,
    "dedup": 0.7,
    "repeats": 0.15,
    "quality": 0.03,
    "tokenizer": 0.3,
    "pack": 1.0,
}


def show(preview: Preview, console: Console, *, workers: int) -> None:
    """Print the plan."""
    plan = preview.plan
    size, text = amount(plan["input_bytes"], "bytes"), amount(plan["text_bytes"], "bytes")
    console.print(f"{plan['files']:,} files, {size} to read, about {text} of text, {plan['splits']:,} shards")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("step", "state", "disk at most", "time about"):
        table.add_column(heading, justify="right" if heading in ("disk at most", "time about") else "left")
    for name in preview.current:
        table.add_row(name, "up to date", "", "")
    for name in preview.stale:
        if name in DISK_PER_TEXT:
            seconds = plan["text_bytes"] / TEXT_BYTES_PER_SECOND[name] / workers
            table.add_row(name, "to compute", amount(plan["text_bytes"] * DISK_PER_TEXT[name], "bytes"), f"{seconds:.0f} s")
        else:
            table.add_row(name, "to compute", "", "")
    console.print(table)
