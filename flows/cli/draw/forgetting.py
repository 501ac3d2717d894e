"""Draws the answer of `tokenmill forget`.

Guarantee: drawing only. Text of documents is escaped, so it cannot control the terminal. Cost: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from tokenmill.flows.cli.draw.terminal import amount
from tokenmill.pipeline.ask.whatif import preview
from tokenmill.pipeline.tokens.forget import Found


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count:,} documents"


def show(found: Sequence[Found], console: Console, *, dry_run: bool) -> None:
    """Print each request, and how many documents and tokens of the store it covers."""
    for one in found:
        asked = f"ids_file, whose ids have the SHA-256 {one.value}" if one.by == "ids_file" else f"{one.by} {one.value}"
        console.print(Text(preview(asked, None), style="bold"))
        said = f"  {_documents(one.documents)} of {one.tokens:,} tokens"
        said += f", {one.known:,} of them forgotten before" if one.known else ""
        console.print(said + (f"; {one.absent:,} ids are not in the store" if one.absent else ""))
    tokens = amount(sum(one.tokens for one in found), "tokens")
    if dry_run:
        console.print(f"\nNothing was written; {tokens} would be masked.")
    else:
        console.print(f"\n{tokens} are masked for every reader from now on; `tokenmill compact` removes them from the files.")
        console.print("Earlier exports still hold them: export again after compaction.")
