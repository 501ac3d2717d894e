"""What the removal of near duplicates took away: n-grams of removed documents that the kept ones lack, by source.

Purpose: documents that are alike at 0.8 can differ in a fifth. Whoever must not lose that sets `dedup.loses`.
Guarantee: an upper bound. An n-gram counts for each document that loses it, also where another kept document has it. It counts
at most one for each word that is lost, and more where lost words stand apart.
Cost: two columns of the verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("contained", "lost_ngrams")
ABOVE = (0.05, 0.1)
"""Shares of a document above which its loss is counted."""


@dataclass(kw_only=True)
class UniqueText:
    """What one source lost with its near duplicates."""

    documents: int = 0
    """Near duplicates."""
    ngrams: int = 0
    """The sum of `lost_ngrams`."""
    share: float = 0.0
    """The sum of the shares of their n-grams that they lost."""
    most: float = 0.0
    """The largest of these shares."""
    above: tuple[int, int] = (0, 0)
    """The documents that lost more than the shares in ABOVE."""

    @property
    def mean(self) -> float:
        """The share that a near duplicate lost on average."""
        return self.share / self.documents if self.documents else 0.0


@dataclass(kw_only=True)
class UniqueLost:
    """By source, in the order of the shards."""

    sources: dict[str, UniqueText] = field(default_factory=dict)

    @property
    def ngrams(self) -> int:
        return sum(one.ngrams for one in self.sources.values())

    @property
    def documents(self) -> int:
        return sum(one.documents for one in self.sources.values())

    def add(self, source: str, verdicts: pa.Table) -> None:
        """Add the verdicts of one shard (`reason` and COLUMNS)."""
        near = verdicts.filter(pc.equal(verdicts["reason"].cast(pa.string()), "near_duplicate"))
        lost = np.round(1 - near["contained"].to_numpy(), 12)
        one = self.sources.setdefault(source, UniqueText())
        one.documents += len(lost)
        one.ngrams += int(pc.sum(near["lost_ngrams"]).as_py() or 0)
        one.share += float(lost.sum())
        one.most = max(one.most, *lost.tolist(), 0.0)
        few, many = (int((lost > share).sum()) for share in ABOVE)
        one.above = (one.above[0] + few, one.above[1] + many)
