"""Where two texts differ: the words of each around every difference.

Guarantee: pieces of the texts themselves, in order. What both begin with is passed over, and then WORDS of each are compared,
so that no pair of texts takes minutes.
Cost: milliseconds for texts as they come; about a second where all words are alike.
Source: J. W. Ratcliff and D. Metzener's gestalt pattern matching (1988), as Python's `difflib` has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

WORD = re.compile(r"\w+|\s+|[^\w\s]")
"""Spaces are words of their own, so that pieces make up the text again."""
WORDS = 3_000
AROUND = 16
"""So many words that are common stand before and after a difference."""
SHOWN = 6
"""So many places are shown; differences that are close to one another are one place."""
CHARACTERS = 300
"""A piece that differs is cut after so many."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of one text. `differs`: the other one has something else, or nothing, in its place."""

    text: str
    differs: bool


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By place, the pieces of both texts, of which those that differ stand in the same order on both sides."""

    left: list[list[Piece]]
    right: list[list[Piece]]
    more: int
    """How many places are not shown."""
    whole: bool
    """False: the texts go on after what was compared."""


def difference(left: str, right: str) -> Difference:
    """What each of the texts has that the other one has not."""
    a, b = WORD.findall(left), WORD.findall(right)
    shared = next((at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    a, b = a[max(0, shared - AROUND) :], b[max(0, shared - AROUND) :]
    places = list(SequenceMatcher(None, a[:WORDS], b[:WORDS], autojunk=False).get_grouped_opcodes(AROUND))
    return Difference(
        left=[[_piece(a[start:stop], tag) for tag, start, stop, _, _ in place] for place in places[:SHOWN]],
        right=[[_piece(b[start:stop], tag) for tag, _, _, start, stop in place] for place in places[:SHOWN]],
        more=max(0, len(places) - SHOWN),
        whole=max(len(a), len(b)) <= WORDS,
    )


def _piece(words: list[str], tag: str) -> Piece:
    text = "".join(words)
    differs = tag != "equal"
    return Piece(text=f"{text[:CHARACTERS]}…" if differs and len(text) > CHARACTERS else text, differs=differs)
