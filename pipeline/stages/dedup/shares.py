"""How much of one text stands in another: the shares of both n-gram sets that two texts have in common.

Purpose: a Jaccard similarity of 0.8 can mean that a fifth of a removed text stands nowhere else. With the sizes of both sets it
says how much: of sets with a and b elements and similarity s, a + b = (common elements) * (1 + s) / s.
Guarantee: the number of common elements is the true one, since a similarity is the quotient of two integers, rounded once, and
sets have fewer than 2^32 elements. Cost: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Sizes = npt.NDArray[Any]
DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What removed texts have in common with those that are kept for them. All arrays [pairs]."""

    contained: Floats
    """The share of a removed text's n-grams that stand in the kept one (0 to 1)."""
    contains: Floats
    """The share of the kept text's n-grams that stand in the removed one (0 to 1)."""
    lost_ngrams: npt.NDArray[np.int64]
    """The distinct n-grams of a removed text that the kept one lacks."""


def within(contained: Floats, loses: float) -> npt.NDArray[np.bool_]:
    """Whether a removed text loses at most this share of its n-grams.

    Rounded to DIGITS, since 1 - 0.3 is above 0.7.
    """
    return np.asarray(np.round(1 - contained, DIGITS) <= loses, dtype=np.bool_)


def shares(similarity: Floats, removed: Sizes, kept: Sizes) -> Shares:
    """Shares by the Jaccard similarity of two sets and their sizes. A size of 0, as of exact duplicates, loses nothing."""
    mine, other = removed.astype(np.float64), kept.astype(np.float64)
    common = np.rint(similarity * (mine + other) / (1 + similarity))
    return Shares(
        contained=np.divide(common, mine, out=np.ones(len(common)), where=mine > 0),
        contains=np.divide(common, other, out=np.ones(len(common)), where=other > 0),
        lost_ngrams=(mine - common).astype(np.int64),
    )
