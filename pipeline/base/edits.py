"""Edits: spans of the stored text to mask or remove, applied when text is read.

Purpose: text is written once; later changes to it are a list of spans beside it.
Guarantee: merged edits are sorted and disjoint within a document, a removal beats a mask, and a stage that saw edited
text can convert its spans to bytes of the stored text (`project`).
Cost: O(edits); documents without edits are not touched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple


class Edit(NamedTuple):
    """Replace the bytes [start, end) of the stored text by `replacement`. An empty replacement removes them."""

    start: int
    end: int
    replacement: bytes


def merge(edits: Iterable[Edit]) -> list[Edit]:
    """Merge edits of one text into a sorted list of disjoint edits.

    Removals that overlap or touch become one. A mask begins behind a removal that covers its start, and ends where the next
    removal begins, even if it went on behind that. Of two masks that overlap, the later one loses the bytes they share. Empty
    removals are dropped.

    Raises
    ------
    ValueError
        An edit starts before 0 or ends before it starts.
    """
    edits = sorted(edits)
    for edit in edits:
        if not 0 <= edit.start <= edit.end:
            raise ValueError(f"an edit must have 0 <= start <= end, but {edit.start=} {edit.end=}")
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
    """Return `text` with `edits` applied; they must be sorted and disjoint, as `merge` returns them."""
    parts: list[bytes] = []
    position = 0
    for start, end, replacement in edits:
        parts += (text[position:start], replacement)
        position = end
    return b"".join((*parts, text[position:]))


def project(edits: Sequence[Edit], spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Convert spans [start, end) in bytes of the edited text to spans in bytes of the stored text.

    `edits` are the merged edits that made the edited text. The result has one span for each of `spans`. A span includes the
    bytes that were removed inside it; a span that touches a replacement includes all bytes that it replaced.
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
