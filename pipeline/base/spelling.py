"""The known name that somebody may have meant, for messages about one that is unknown.

Guarantee: the same answer for the same names in the same order. Cost: a comparison with each known name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

ALIKE = 0.5
"""Similarity of spelling, as difflib measures it (0 to 1), from which on a name is suggested."""


def nearest(name: str, known: Iterable[str], cutoff: float = ALIKE) -> str | None:
    """The known name that is spelt most like `name`; None if none is."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def hint(name: str, known: Iterable[str], title: str = "known", cutoff: float = ALIKE) -> str:
    """End of a message: `did you mean near?`, or all names, such as `known: a, b`."""
    names = list(known)
    near = nearest(name, names, cutoff)
    return f"did you mean {near}?" if near else f"{title}: {', '.join(names)}"
