"""How documents are cut into n-grams and signatures into bands, and how bands and rows follow from a target.

Purpose: holds the presets of published corpora, and chooses bands and rows for a threshold. Of all choices that a number of
permutations allows, it takes the one with the least error among those that reach the requested recall.
Guarantee: without a recall, the choice equals that of datasketch's optimiser at equal weights.
Cost: a few milliseconds for 128 permutations, once per process.

With b bands of r rows, two documents of similarity s share a band with probability 1 - (1 - s^r)^b (J. Leskovec, A. Rajaraman,
J. D. Ullman, "Mining of Massive Datasets", section 3.4.2).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from tokenmill.pipeline.stages.dedup.normalisation import Normalisation

Shingle = Literal["words", "characters"]
Preset = Literal["fineweb", "dolma3", "nemo"]

NGRAM: Mapping[Shingle, int] = MappingProxyType({"words": 5, "characters": 24})
"""Words or characters per n-gram when no setting gives the number."""
RECALL = 0.975
"""The probability with which chosen bands find a pair at the threshold, when no setting gives it. At 0.8 the choice is 16 bands
of 7 rows, which find 0.977. The 14 bands of 8 rows of "fineweb" have as many permutations and find 0.924."""
PERMUTATIONS = 128
"""Upper bound of bands times rows when no setting gives it. It is enough for every threshold from 0.03 on. Signing takes time
for each; a lower threshold takes fewer rows, so more pairs are compared that are alike only a little."""
LOW = 0.9
"""Given bands that find a pair at the threshold with a lower probability are worth an alarm, when no setting asks for a
recall."""
NODES = 64
"""Nodes of the quadrature. The integrands are smooth: with 64 nodes no choice differs from that of an adaptive quadrature."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How near duplicates are found: n-grams of words or characters, and signatures of `bands` bands with `rows` rows each."""

    shingle: Shingle
    ngram: int
    bands: int
    rows: int

    def probability(self, similarity: float) -> float:
        """The probability that two documents of this Jaccard similarity (0 to 1) share a band."""
        return 1.0 - (1.0 - similarity**self.rows) ** self.bands


NORMALISED: Mapping[Preset, Normalisation] = MappingProxyType(
    {"fineweb": "fineweb@1", "dolma3": "dolma3@1", "nemo": "nemo@1"},
)
"""The normalisation of each preset."""

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
    threshold: float,
    recall: float | None,
    permutations: int | None,
) -> Scheme:
    """The scheme that the settings name by a preset, by bands and rows, or by the threshold and a recall (default: RECALL).

    Raises ValueError if the settings contradict each other or cannot be met.
    """
    grams: dict[str, object] = {"shingle": shingle, "ngram": ngram}
    given: dict[str, object] = {"bands": bands, "rows": rows}
    bound: dict[str, object] = {"permutations": permutations}
    if preset is not None:
        if others := _said(grams | given | bound):
            raise ValueError(f'preset = "{preset}" sets all of these: leave out {others}, or the preset')
        return PRESETS[preset]
    if _said(given) and _said(bound):
        raise ValueError(f"set bands and rows, or let them be chosen: leave out {_said(given)}, or {_said(bound)}")
    if not _said(given):
        bands, rows = least_error(threshold, permutations or PERMUTATIONS, recall or RECALL)
    if bands is None or rows is None:
        raise ValueError(f"bands and rows belong together, but only {_said(given)} is set")
    shingle = shingle or "words"
    return Scheme(shingle=shingle, ngram=ngram or NGRAM[shingle], bands=bands, rows=rows)


def _said(settings: Mapping[str, object]) -> str:
    return " and ".join(f"{name} = {value}" for name, value in settings.items() if value is not None)


@functools.cache
def least_error(similarity: float, permutations: int, recall: float = 0.0) -> tuple[int, int]:
    """Bands and rows with the least error, among those that find a pair at `similarity` with probability `recall` or more.

    The product bands * rows is at most `permutations`. The error is the probability to share a band, integrated below the
    similarity, plus the probability to share none, integrated above it. Ties go to the fewest bands, then to the fewest rows.
    Raises ValueError if no choice reaches the recall.
    """
    pairs = [(bands, rows) for bands in range(1, permutations + 1) for rows in range(1, permutations // bands + 1)]
    bands, rows = np.array(pairs, dtype=np.float64).T[:, :, np.newaxis]
    reached = (1.0 - (1.0 - similarity**rows) ** bands)[:, 0]
    if reached.max() < recall:
        raise ValueError(
            f"recall = {recall} at threshold = {similarity} needs more than permutations = {permutations}, "
            f"which reach {reached.max():.6f}; raise permutations, or lower recall"
        )
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    error = np.zeros(len(pairs))
    for low, high, miss in ((0.0, similarity, False), (similarity, 1.0, True)):
        half = (high - low) / 2
        none_shared = (1.0 - (low + half + half * nodes) ** rows) ** bands
        error += half * ((none_shared if miss else 1.0 - none_shared) @ weights)
    return pairs[int(np.where(reached >= recall, error, np.inf).argmin())]
