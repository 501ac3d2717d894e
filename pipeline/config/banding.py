"""What a signature is made of, and how bands and rows follow from what they have to find.

Purpose: presets of published corpora, and the choice of bands and rows for a similarity: of all that a number of
permutations allows, those with the least error, among those with the recall that is asked for.
Guarantee: without a recall the choice is that of datasketch's optimiser at equal weights.
Cost: a few milliseconds for 128 permutations, once per process.

With b bands of r rows, two documents of similarity s share a band with probability 1 - (1 - s^r)^b (J. Leskovec,
A. Rajaraman, J. D. Ullman, "Mining of Massive Datasets", section 3.4.2).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

Shingle = Literal["words", "characters"]
Preset = Literal["fineweb", "dolma3", "nemo"]

NGRAM: Mapping[Shingle, int] = MappingProxyType({"words": 5, "characters": 24})
"""How many words or characters an n-gram has where no setting says it."""
PERMUTATIONS = 128
"""The most that bands times rows may be where no setting says it."""
NODES = 64
"""Of the quadrature: the integrands are smooth, and with 64 nodes no choice differs from that of an adaptive one."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """Documents are compared by their n-grams of words or characters, and sought by bands of so many rows."""

    shingle: Shingle
    ngram: int
    bands: int
    rows: int

    def probability(self, similarity: float) -> float:
        """The probability that two documents of that Jaccard similarity, from 0 to 1, share a band."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands


PRESETS: Mapping[Preset, Scheme] = MappingProxyType(
    {
        "fineweb": Scheme(shingle="words", ngram=5, bands=14, rows=8),
        "dolma3": Scheme(shingle="words", ngram=5, bands=26, rows=11),
        "nemo": Scheme(shingle="characters", ngram=24, bands=20, rows=13),
    }
)
"""FineWeb (Penedo et al. 2024, arXiv 2406.17557, section 3.4), the bands of Dolma 3 over word 5-grams, and NeMo Curator."""


def scheme(
    *,
    preset: Preset | None,
    shingle: Shingle | None,
    ngram: int | None,
    bands: int | None,
    rows: int | None,
    similarity: float | None,
    recall: float | None,
    permutations: int | None,
) -> Scheme:
    """The scheme that settings name, by a preset, by bands and rows or by a similarity; where they name none, "fineweb".

    Raises ValueError where they contradict one another or ask for what cannot be.
    """
    grams: dict[str, object] = {"shingle": shingle, "ngram": ngram}
    given: dict[str, object] = {"bands": bands, "rows": rows}
    target: dict[str, object] = {"similarity": similarity, "recall": recall, "permutations": permutations}
    if preset is not None:
        if others := _said(grams | given | target):
            raise ValueError(f'preset = "{preset}" says all of them: leave out {others}, or the preset')
        return PRESETS[preset]
    if _said(given) and _said(target):
        raise ValueError(f"bands and rows are given or chosen: leave out {_said(given)}, or {_said(target)}")
    if similarity is not None:
        bands, rows = least_error(similarity, permutations or PERMUTATIONS, recall or 0.0)
    elif _said(target):
        raise ValueError(f"without a similarity there is nothing to choose bands and rows for by {_said(target)}")
    elif not _said(given):
        bands, rows = PRESETS["fineweb"].bands, PRESETS["fineweb"].rows
    if bands is None or rows is None:
        raise ValueError(f"bands and rows belong together, and there is only {_said(given)}")
    shingle = shingle or "words"
    return Scheme(shingle=shingle, ngram=ngram or NGRAM[shingle], bands=bands, rows=rows)


def _said(settings: Mapping[str, object]) -> str:
    return " and ".join(f"{name} = {value}" for name, value in settings.items() if value is not None)


@functools.cache
def least_error(similarity: float, permutations: int, recall: float = 0.0) -> tuple[int, int]:
    """Bands and rows, bands * rows <= permutations, that find pairs at `similarity` with a probability of at least `recall`.

    Of those, the ones with the least error: the probability to share a band, integrated below the similarity, plus that to
    share none, above it. Of equals the fewest bands, then rows. Raises ValueError when none reach the recall.
    """
    pairs = [(bands, rows) for bands in range(1, permutations + 1) for rows in range(1, permutations // bands + 1)]
    bands, rows = np.array(pairs, dtype=np.float64).T[:, :, np.newaxis]
    reached = (1.0 - (1.0 - similarity**rows) ** bands)[:, 0]
    if reached.max() < recall:
        raise ValueError(
            f"recall = {recall} at similarity = {similarity} takes more than permutations = {permutations}, "
            f"which reach {reached.max():.6f}; allow more of them, or ask for less recall"
        )
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    error = np.zeros(len(pairs))
    for low, high, miss in ((0.0, similarity, False), (similarity, 1.0, True)):
        half = (high - low) / 2
        none_shared = (1.0 - (low + half + half * nodes) ** rows) ** bands
        error += half * ((none_shared if miss else 1.0 - none_shared) @ weights)
    return pairs[int(np.where(reached >= recall, error, np.inf).argmin())]
