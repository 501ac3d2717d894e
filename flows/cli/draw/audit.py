"""Draws the answer of `tokenmill audit`: a row for each token shard, outliers first, and the windows that repeat.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.pipeline.ask.audit import RARE_BELOW, WIDTH, SplitAudit
from tokenmill.pipeline.ask.encoding import EncodingAudit
from tokenmill.pipeline.ask.whatif import preview

SHOWN_SHARDS = 40


def show(found: Sequence[SplitAudit], encoded: EncodingAudit, console: Console) -> None:
    """Print the shards, outliers first, the windows that repeat most, and what the encoder gives now.

    Of many shards, print `SHOWN_SHARDS`.
    """
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
    console.print(table, "")
    console.print(
        "per doc: tokens per document; bytes: bytes of text per token; bits: entropy per token; "
        "far: divergence from the split in bits per token; again: share of windows that occur more than once",
        style="dim",
    )
    for one in shards:
        if one.unlike:
            scores = ", ".join(f"{name} {score:+.1f}" for name, score in one.unlike.items())
            console.print(f"{one.shard} is an outlier (robust z-scores): {scores}")
    if shards[SHOWN_SHARDS:]:
        console.print(f"and {len(shards) - SHOWN_SHARDS} more shards (--json has them all)")
    for split in found:
        console.print(
            f"\n{split.split}: {split.tokens:,} tokens; {split.single_byte:.2%} single bytes; {split.rare:.3%} rare tokens "
            f"({split.rare_ids:,} ids that occur less than {RARE_BELOW} times); {split.unused_ids:,} ids never occur; "
            f"{split.ended:.2%} of the documents end with their only end-of-text; {split.repeated:.2%} of the windows of "
            f"{WIDTH} tokens repeat (measured on {split.sampled:.3%} of the windows)"
        )
        for window in split.most_repeated:
            console.print(
                f"  the window at {window.place} occurs {window.times:,} times (`tokenmill trace` shows it)", markup=False
            )
    of = encoded.golden + len(encoded.golden_changed)
    console.print(
        f"\nthe encoder gives {encoded.golden} of {of} golden texts the ids that it gave when the tokenizer was made; "
        f"of {encoded.documents} documents that were encoded anew, {encoded.begin} begin, {encoded.end} end and {encoded.same} "
        "are as in the store",
        style=None if encoded.sound else "bold red",
    )
    for text in encoded.golden_changed:
        console.print(f"  other ids: {preview(ascii(text), None)}", markup=False)
    if not encoded.sound:
        console.print("the encoder changed since: install the versions that built the corpus before you add to it")
