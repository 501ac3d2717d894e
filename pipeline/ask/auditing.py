"""What the tokens of a corpus are like, on the command line.

Guarantee: nothing is written; every block that is read is compared with its hash first.
Cost: that of `tokenmill.pipeline.ask.audit`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenmill.flows.cli.draw.terminal import whole
from tokenmill.pipeline.ask.audit import RARE_BELOW, WIDTH, SplitAudit
from tokenmill.pipeline.ask.audit import audit as look_at
from tokenmill.pipeline.ask.whatif import preview
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.tokenizer.encode import FastEncoder, of_corpus

SHOWN_SHARDS = 40


def audit(root: Path, progress: Progress) -> list[SplitAudit]:
    """Audit the store of a corpus. Raises NotBuilt, StaleInput when its tokenizer is another, CorruptFile."""
    encoder = of_corpus(root)
    store = TokenStore.open(root / "tokens", tokenizer=encoder.fingerprint)
    return look_at(store, _single_bytes(encoder), progress)


def _single_bytes(encoder: FastEncoder) -> npt.NDArray[np.bool_]:
    """The ids that stand for one byte. A number that the tokenizer does not use stands for none."""
    found = np.zeros(encoder.vocabulary, dtype=np.bool_)
    for number in range(encoder.vocabulary):
        try:
            found[number] = len(encoder.decode_bytes([number])) == 1
        except InputError:
            continue
    return found


def plain(found: Sequence[SplitAudit]) -> dict[str, Any]:
    """As JSON values."""
    return {"splits": [dataclasses.asdict(one) for one in found]}


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
