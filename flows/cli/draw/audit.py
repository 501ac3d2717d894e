"""What `tokenmill audit` shows on a terminal: the shards, those unlike the rest first, and what repeats.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.flows.cli.draw.terminal import whole
from tokenmill.pipeline.ask.audit import RARE_BELOW, WIDTH, SplitAudit
from tokenmill.pipeline.ask.whatif import preview

SHOWN_SHARDS = 40


def show(found: Sequence[SplitAudit], console: Console) -> None:
    """Print the shards (those unlike the rest first, where they are many), and what repeats."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("shard", "source", "tokens", "per doc", "bytes", "bits", "far", "1-byte", "rare", "again"):
        words = heading in ("shard", "source")
        table.add_column(heading, justify="left" if words else "right")
    shards = sorted((one for split in found for one in split.shards), key=lambda one: not one.unlike)
    for one in shards[:SHOWN_SHARDS]:
        numbers = (f"{one.tokens:,}", f"{one.tokens_per_document:.0f}", f"{one.bytes_per_token:.2f}")
        bits = (f"{one.entropy_bits:.2f}", f"{one.distance_bits:.3f}")
        shares = (f"{one.single_byte:.2%}", f"{one.rare:.2%}", f"{one.repeated:.2%}")
        table.add_row(one.shard, Text(preview(one.source, None)), *numbers, *bits, *shares)
    whole(table, console)
    console.print(
        "per doc: tokens; bytes: of text for a token; bits: entropy of a token; far: their divergence from the split",
        style="dim",
    )
    for one in shards:
        if one.unlike:
            scores = ", ".join(f"{name} {score:+.1f}" for name, score in one.unlike.items())
            console.print(f"{one.shard} is unlike the rest (robust z-scores): {scores}")
    if shards[SHOWN_SHARDS:]:
        console.print(f"and {len(shards) - SHOWN_SHARDS} more shards (--json has them all)")
    for split in found:
        console.print(
            f"\n{split.split}: {split.tokens:,} tokens; {split.single_byte:.2%} single bytes; {split.rare:.3%} of them are of "
            f"the {split.rare_ids:,} ids held less than {RARE_BELOW} times; {split.unused_ids:,} ids never occur; "
            f"{split.repeated:.2%} of windows of {WIDTH} tokens occur again ({split.sampled:.3%} of the windows compared)"
        )
        for window in split.most_repeated:
            console.print(f"  {window.times:,} times the window at {window.place} (`tokenmill trace` shows it)", markup=False)
