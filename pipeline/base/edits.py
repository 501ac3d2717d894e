"""Edits: spans of the stored text to mask or remove, applied when text is read.

Purpose: text is written once; what is taken out of it later is a list of spans beside it.
Guarantee: merged edits are sorted and disjoint within a document, a removal beats a mask, and a stage that saw edited
text can say its spans in bytes of the stored text (`project`).
Cost: O(edits); documents without edits are not touched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple


class Edit(NamedTuple):
    """Replace the bytes [start, end) of the stored text. An empty replacement removes them."""

    start: int
    end: int
    replacement: bytes


def merge(edits: Iterable[Edit]) -> list[Edit]:
    """Sorted and disjoint: overlapping removals unite, and a mask keeps only what no removal covers.

    Of two masks that overlap, the later one gives way. Raises ValueError when an edit ends before it starts.
    """
    edits = sorted(edits)
    for edit in edits:
        if not 0 <= edit.start <= edit.end:
            raise ValueError(f"an edit may not end before it starts: {edit.start=} {edit.end=}")
    taken: list[Edit] = []
    for edit in (edit for edit in edits if not edit.replacement and edit.start < edit.end):
        if taken and edit.start <= taken[-1].end:
            taken[-1] = Edit(taken[-1].start, max(taken[-1].end, edit.end), b"")
        else:
            taken.append(edit)
    for mask in (edit for edit in edits if edit.replacement):
        at = bisect_right(taken, mask.start, key=lambda edit: edit.start)
        before = taken[at - 1].end if at else 0
        after = taken[at].start if at < len(taken) else mask.end
        start, end = max(mask.start, before), min(mask.end, after)
        if start < end or (start == end == mask.start == mask.end):
            taken.insert(at, Edit(start, end, mask.replacement))
    return taken


def apply(text: bytes, edits: Sequence[Edit]) -> bytes:
    """The text with sorted, disjoint edits applied."""
    parts: list[bytes] = []
    position = 0
    for start, end, replacement in edits:
        parts += (text[position:start], replacement)
        position = end
    return b"".join((*parts, text[position:]))


def project(edits: Sequence[Edit], spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of the edited text, said in bytes of the stored text. `edits` are those that made the edited text.

    A span covers whatever was removed inside it; one that touches a replacement covers all that it replaced.
    """
    growth = list(accumulate(len(edit.replacement) - (edit.end - edit.start) for edit in edits))
    starts = [edit.start + (growth[i - 1] if i else 0) for i, edit in enumerate(edits)]

    def stored(position: int, *, end: bool) -> int:
        i = bisect_right(starts, position - 1 if end else position) - 1
        if i < 0:
            return position
        if position < starts[i] + len(edits[i].replacement):
            return edits[i].end if end else edits[i].start
        return position - growth[i]

    return [(stored(start, end=False), stored(end, end=True)) for start, end in spans]
