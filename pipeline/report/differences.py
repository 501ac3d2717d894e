"""Where two texts differ: the words of each around every difference.

Guarantee: the pieces come from the texts themselves, in order. The common beginning and end are skipped, and then WORDS words
of each text are compared, so that no pair of texts takes minutes.
Cost: milliseconds for ordinary texts; about a second where all words are alike.
Source: J. W. Ratcliff and D. Metzener's gestalt pattern matching (1988), as implemented in Python's `difflib`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

WORD = re.compile(r"\w+|\s+|[^\w\s]")
"""White space forms words of its own, so that the pieces join to the text again."""
WORDS = 3_000
AROUND = 16
"""Common words shown before and after a difference."""
SHOWN = 6
"""Places shown. Differences that are close to one another are one place."""
CHARACTERS = 300
"""A piece that differs is cut after this many characters."""


@dataclass(frozen=True, kw_only=True)
class TextPiece:
    """A piece of one text. `differs`: the other text has something else, or nothing, in its place."""

    text: str
    differs: bool


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The pieces of both texts, by place. The pieces that differ come in the same order on both sides."""

    left: list[list[TextPiece]]
    right: list[list[TextPiece]]
    more: int
    """The number of places that are not shown."""
    whole: bool
    """False: the texts continue after the part that was compared."""


def difference(left: str, right: str) -> Difference:
    """Compare two texts, and return what each has that the other lacks, with common words around it."""
    a, b = WORD.findall(left), WORD.findall(right)
    shared = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    a, b = a[max(0, shared - AROUND) :], b[max(0, shared - AROUND) :]
    ends = zip(reversed(a), reversed(b), strict=False)
    alike = next((at for at, (one, other) in enumerate(ends) if one != other), min(len(a), len(b)))
    whole = max(len(a), len(b)) - alike + AROUND <= WORDS
    if whole and alike > AROUND:
        a, b = a[: AROUND - alike], b[: AROUND - alike]
    places = list(SequenceMatcher(None, a[:WORDS], b[:WORDS], autojunk=False).get_grouped_opcodes(AROUND))
    return Difference(
        left=[[_piece(a[start:stop], tag) for tag, start, stop, _, _ in place] for place in places[:SHOWN]],
        right=[[_piece(b[start:stop], tag) for tag, _, _, start, stop in place] for place in places[:SHOWN]],
        more=max(0, len(places) - SHOWN),
        whole=whole or max(len(a), len(b)) <= WORDS,
    )


def _piece(words: list[str], tag: str) -> TextPiece:
    text = "".join(words)
    differs = tag != "equal"
    if len(text) > CHARACTERS:
        # What is common stands between two differences: both ends are shown.
        text = f"{text[:CHARACTERS]}…" if differs else f"{text[: CHARACTERS // 2]}…{text[-CHARACTERS // 2 :]}"
    return TextPiece(text=text, differs=differs)
