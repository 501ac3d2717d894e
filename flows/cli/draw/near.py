"""Draws the answer of `tokenmill near`: for each text its name, then two lines for each similar document.

Guarantee: drawing only. Cost: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from tokenmill.pipeline.ask.near import Near


def show(names: Sequence[str], answer: Near, console: Console) -> None:
    """Draw the answer for the texts `names`."""
    for name, found in zip(names, answer.found, strict=True):
        console.print(Text(name, style="bold"))
        for one in found:
            became = "kept" if one.kept else f"dropped by {one.stage}: {one.reason}"
            if one.kept_doc_id:
                became += f" of {one.kept_doc_id}"
            became += ", forgotten: readers mask it" if one.forgotten else ""
            alike = "exact " if one.exact else f"{one.similarity:.4f}"
            console.print(Text(f"  {alike}  {one.doc_id}  {became}"))
            parts = "" if one.exact else f"{one.contained:.1%} of it there, {one.contains:.1%} of that here  "
            console.print(Text(f"          {parts}{one.source}  {one.url or ''}".rstrip(), style="dim"))
        if not found:
            console.print(
                f"  no document of similarity {answer.threshold} or more was found; "
                f"the bands find {100 * answer.expected_recall:.1f} % of the documents of similarity {answer.threshold}"
            )
    console.print(Text(f"Similarity: Jaccard, {answer.compared}", style="dim"))
