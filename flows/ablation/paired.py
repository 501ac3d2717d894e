"""Compares models over seeds and documents: spread, paired differences and their intervals.

Purpose: bits per byte differ from seed to seed, and from document to document. All variants are trained from the same seeds
and measured on the same documents, so what these share cancels out in a difference.
Method: a difference of means over seeds has two sources of error. That of the documents is drawn by a bootstrap of documents,
the same draws for all variants (paired bootstrap: Koehn 2004, "Statistical Significance Tests for Machine Translation
Evaluation"). That of the seeds is drawn from Student's t around 0, with the variance that is left when the means of variants
and of seeds are taken out, pooled over variants (randomised blocks: Fisher 1935, "The Design of Experiments"); a bootstrap of
three seeds would be far too sure. The interval holds the middle of the sums of both (Fisher's solution of the Behrens-Fisher
problem). As many intervals as are shown, each is wider by Bonferroni's rule, so that all hold together.
Guarantee: the same numbers give the same intervals: the draws are seeded. Equal variants differ by exactly 0.
Cost: `DRAWS` draws of the documents: 1 s for 5,000 of them; 25 MB.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
"""Of all intervals together."""
DRAWS = 10_000
AT_ONCE = 1 << 20
"""Documents drawn before their sums are taken."""


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """How much `a` is above `b` in bits per byte: the mean over seeds, and its interval."""

    a: str
    b: str
    mean: float
    low: float
    high: float

    @property
    def tells_apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def better_first(self) -> PairedDifference:
        """The same with the variant of fewer bits as `a`, so that `mean` is not above 0."""
        if self.mean <= 0:
            return self
        return PairedDifference(a=self.b, b=self.a, mean=-self.mean, low=-self.high, high=-self.low)


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """All variants on one held-out set."""

    bits_per_byte: Floats
    """float64 [variants, seeds]"""
    spread: float
    """The standard deviation of one variant over seeds, pooled over variants."""
    differences: tuple[PairedDifference, ...]
    """Of each pair of variants."""


def compare(
    names: Sequence[str], bits: Floats, text_bytes: npt.NDArray[np.int64], *, comparisons: int, draws: int = DRAWS
) -> PairedResult:
    """Compare variants on one set.

    Parameters
    ----------
    names
        Of the variants, at least two.
    bits
        float64 [variants, seeds, documents]: what each document costs each model. At least two seeds.
    text_bytes
        int64 [documents]: at least one document.
    comparisons
        How many intervals are to hold together, those of other sets included.
    """
    variants, seeds, documents = bits.shape
    found: Floats = bits.sum(axis=2) / text_bytes.sum()
    by_document = _resampled(bits.mean(axis=1), text_bytes, draws)
    error = math.sqrt(2 * _residual(found) / seeds)
    generator = np.random.default_rng([documents, draws])
    by_seed = error * generator.standard_t((variants - 1) * (seeds - 1), draws)
    tail = (1 - LEVEL) / comparisons / 2
    differences = []
    for a, b in itertools.combinations(range(variants), 2):
        low, high = np.quantile(by_document[a] - by_document[b] + by_seed, [tail, 1 - tail]).tolist()
        mean = float(found[a].mean() - found[b].mean())
        same = np.array_equal(bits[a], bits[b])
        differences.append(
            PairedDifference(a=names[a], b=names[b], mean=mean, low=0.0 if same else low, high=0.0 if same else high)
        )
    spread = math.sqrt(float(found.var(axis=1, ddof=1).mean()))
    return PairedResult(bits_per_byte=found, spread=spread, differences=tuple(differences))


def _residual(found: Floats) -> float:
    """The variance that is left of float64 [variants, seeds] without the means of variants and of seeds."""
    variants, seeds = found.shape
    left = found - found.mean(axis=1, keepdims=True) - found.mean(axis=0, keepdims=True) + found.mean()
    return float((left**2).sum() / ((variants - 1) * (seeds - 1)))


def _resampled(bits: Floats, text_bytes: npt.NDArray[np.int64], draws: int) -> Floats:
    """Bits per byte of float64 [variants, documents] on documents drawn with replacement: float64 [variants, draws]."""
    documents = len(text_bytes)
    generator = np.random.default_rng([documents, draws, 1])
    columns = np.concatenate([bits, text_bytes[None].astype(np.float64)]).T
    sums = []
    for first in range(0, draws, block := max(1, AT_ONCE // documents)):
        some = min(block, draws - first)
        chosen = generator.integers(0, documents, (some, documents)) + documents * np.arange(some)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=some * documents).reshape(some, documents)
        sums.append(counts @ columns)
    drawn = np.concatenate(sums).T
    return np.asarray(drawn[:-1] / drawn[-1], dtype=np.float64)


def said(one: PairedDifference, spread: float, where: str) -> str:
    """A difference on the set `where` in one sentence."""
    one = one.better_first()
    interval = f"[{one.low:.4f}, {one.high:.4f}]"
    if not one.tells_apart:
        return f"{one.a} and {one.b} cannot be told apart on {where}: {one.mean:+.4f} bits per byte {interval}"
    beats = f"{one.a} beats {one.b} by {-one.mean:.4f} bits per byte [{-one.high:.4f}, {-one.low:.4f}] on {where}"
    if -one.mean > spread:
        return f"{beats}; larger than the spread of seeds ({spread:.4f})"
    return f"{beats}; smaller than the spread of seeds ({spread:.4f}), so one run of each would not show it"
