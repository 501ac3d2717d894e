"""For each rule: how many documents fail it, how its values are distributed, and what other thresholds would keep.

Guarantee: sums over shards. Cost: a few microseconds per document; kilobytes per rule.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.report.curves import Sole
from tokenmill.pipeline.report.histograms import Profile
from tokenmill.pipeline.report.judging import Judged
from tokenmill.pipeline.stages.criteria import Criterion


@dataclass(kw_only=True)
class RuleTally:
    """One rule over all shards. Documents are those that reached the stage."""

    criterion: Criterion
    concerned: int = 0
    """Documents with a value to compare."""
    missing: int = 0
    """Documents without one."""
    bytes: int = 0
    """Bytes of all texts that reached the stage."""
    fails: int = 0
    first: int = 0
    """Documents that are dropped for this rule: it is the first that they fail."""
    only: int = 0
    """Documents that would be kept without this rule."""
    profile: Profile = field(default_factory=Profile)
    """Values by whether the stage kept their documents, for whatever reason."""
    sole: Sole = field(init=False)
    others: tuple[int, int] = (0, 0)
    """Documents and bytes that the stage keeps and whose value is not compared: any threshold keeps them."""

    def __post_init__(self) -> None:
        limit = self.criterion.limit
        self.sole = Sole(least=limit is None or limit.is_minimum)

    def __getstate__(self) -> dict[str, Any]:
        """Without the criterion, which holds functions: who merges tallies of another process has it."""
        return {**vars(self), "criterion": None}

    def merge(self, other: RuleTally) -> None:
        """Add what was counted in other shards."""
        for name in ("concerned", "missing", "bytes", "fails", "first", "only"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.profile.merge(other.profile)
        self.sole.merge(other.sole)
        self.others = self.others[0] + other.others[0], self.others[1] + other.others[1]


def tallies(criteria: Iterable[Criterion]) -> dict[Criterion, RuleTally]:
    """Empty ones, in the order of the rules."""
    return {one: RuleTally(criterion=one) for one in criteria}


def add(found: dict[Criterion, RuleTally], judged: Judged, sizes: npt.NDArray[np.int64]) -> None:
    """Add one shard. `sizes`: bytes of each text, int64 [rows]."""
    for at, criterion in enumerate(judged.criteria):
        tally, fails, concerned = found[criterion], judged.fails[at], judged.concerned(at)
        tally.concerned += int(concerned.sum())
        tally.missing += int((judged.reached & ~concerned).sum())
        tally.bytes += int(sizes[judged.reached].sum())
        tally.fails += int(fails.sum())
        tally.first += int(judged.first(at).sum())
        tally.only += int(judged.only(at).sum())
        if criterion.limit is None:
            continue
        rest = judged.kept & ~concerned
        tally.others = tally.others[0] + int(rest.sum()), tally.others[1] + int(sizes[rest].sum())
        # Null exactly where a row is not concerned, so the column keeps its type: whole numbers stay whole.
        column = judged.scores[criterion.limit.column].fill_null(0).to_numpy()
        tally.profile.add(column[concerned], judged.kept[concerned])
        sole = concerned & (judged.failing - fails == 0) & np.isfinite(column.astype(np.float64))
        tally.sole.add(column[sole], sizes[sole])
