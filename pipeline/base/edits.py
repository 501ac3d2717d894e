"""Edits: spans of the stored text to mask or remove, applied when text is read.

Purpose: text is written once; later changes to it are a list of spans beside it.
Guarantee: merged edits are sorted and disjoint within a document, and no byte that an edit covers survives. A stage that saw
edited text can convert its spans to bytes of the stored text (`project`).
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
    """Merge edits of one text into a sorted list of disjoint edits that covers the same bytes.

    Of two edits, one inside the other, the outer one stays; of two with the same bytes the removal, else the later one given.
    So an edit of a later stage, which covers whole edits of earlier ones (`project`), takes their place. Removals that overlap
    or touch become one. Of other edits that overlap, a mask loses the bytes that it shares with a removal, and of two masks the
    one that begins later loses them. So each replacement appears at most once. Empty removals are dropped.

    Raises
    ------
    ValueError
        An edit starts before 0 or ends before it starts.
    """
    removals: list[Edit] = []
    masks: list[Edit] = []
    for edit in edits:
        if not 0 <= edit.start <= edit.end:
            raise ValueError(f"an edit must have 0 <= start <= end, but {edit.start=} {edit.end=}")
        (masks if edit.replacement else removals).append(edit)
    joined: list[Edit] = []
    for edit in sorted(edit for edit in removals if edit.start < edit.end):
        if joined and edit.start <= joined[-1].end:
            joined[-1] = joined[-1]._replace(end=max(joined[-1].end, edit.end))
        else:
            joined.append(edit)
    merged: list[Edit] = []
    # The sort is stable: of edits with the same bytes a removal comes first, then the mask that was given last.
    for edit in sorted([*joined, *reversed(masks)], key=lambda edit: (edit.start, -edit.end)):
        if merged and max(edit.start + 1, edit.end) <= merged[-1].end:
            continue
        while not edit.replacement and merged and edit.start < merged[-1].end:
            last = merged.pop()
            if last.start < edit.start:
                merged.append(last._replace(end=edit.start))
        merged.append(edit._replace(start=max(edit.start, merged[-1].end if merged else 0)))
    return merged


def apply(text: bytes, edits: Sequence[Edit]) -> bytes:
    """Return `text` with `edits` applied; they must be sorted and disjoint, as `merge` returns them."""
    parts: list[bytes] = []
    position = 0
    for start, end, replacement in edits:
        parts += (text[position:start], replacement)
        position = end
    return b"".join((*parts, text[position:]))


def part(text: bytes, edits: Iterable[Edit], start: int, end: int) -> bytes:
    """Return the bytes [start, end) of `text` with merged `edits` applied. One that reaches beyond them stands there whole."""
    inside = (edit for edit in edits if edit.start < end and edit.end > start)
    return apply(
        text[start:end],
        [Edit(max(edit.start, start) - start, min(edit.end, end) - start, edit.replacement) for edit in inside],
    )


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
