"""Rounds of pairing, comparing and deciding, for buckets that are too large to be compared in full.

Purpose: in a bucket over the limit a document is compared with few others, and those may be removed themselves. So the kept
documents of such buckets are paired again among themselves, each with the more of the others the fewer they are. Pairs not
compared before are compared, and everything is decided again over all edges, until no new pair appears.
Guarantee: no pair is compared twice. At the end every two kept documents of a bucket have been compared, or are counted as not
compared. The decision is the same for any number of workers, and documents added at the end of the survivor order change no
earlier one.
Cost: a round after the first reads the large buckets, and the texts of their new pairs. At most ROUNDS of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Range, Run
from tokenmill.pipeline.stages.dedup.candidates import Pairs, pair_again
from tokenmill.pipeline.stages.dedup.resolve import Decision, decide
from tokenmill.pipeline.stages.dedup.revisions import look_again
from tokenmill.pipeline.stages.dedup.verify import Compared, Comparer, New

ROUNDS = 8
"""Most rounds after the first one."""
RANGE = 100_000
"""Pairs compared per task (approximate)."""


class Comparing(Protocol):
    """An object that compares pairs: `verify.Comparer`."""

    def new(
        self, pairs: Sequence[Sequence[Run]], ranges: Sequence[Range], before: Sequence[Sequence[Run]], turn: int
    ) -> list[New]:
        """For each range, those of its pairs that were not compared `before`."""
        ...

    def compare(self, new: Sequence[New], turn: int) -> list[Compared]:
        """These pairs with their similarities, range by range."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settled:
    """The last decision, and the work it took."""

    decision: Decision
    by_key: list[Run]
    """All similarities: runs of `known.KNOWN`."""
    loose_by_key: list[Run]
    """Those under the looser folding."""
    pairs: int
    """Number of similarities."""
    now: int
    """Number of similarities computed in this run, not looked up."""
    rounds: int
    """How often large buckets were paired again and gave new pairs."""
    left: Pairs
    """The buckets whose kept documents are not all candidates of one another: their number, and how many pairs are left out."""
    unfinished: int
    """Pairs that a further round would compare: 0 unless ROUNDS were not enough."""


def settle(
    pairs: Pairs,
    comparer: Comparing,
    *,
    loose: Comparer | None = None,
    ranks: int,
    threshold: float,
    loses: float,
    limit: int,
    means: Means,
) -> Settled:
    """Compare candidates and decide, in rounds. Leaves its files in `means.folder`. Raises what comparing raises.

    `loose`: compares pairs that miss the threshold by little once more (`revisions`).
    """
    ranges = runs.ranges(pairs.runs, RANGE)
    similar: list[list[Run]] = [[] for _ in ranges]
    revised: list[list[Run]] = [[] for _ in ranges]
    by_key: list[Run] = []
    loose_by_key: list[Run] = []
    now = turn = 0
    new, left = comparer.new([pairs.runs] * len(ranges), ranges, similar, 0), pairs
    while True:
        done = comparer.compare(new, turn)
        for parts, compared in zip(similar, done, strict=True):
            parts.append(compared.by_pair)
            by_key.append(compared.by_key)
            now += compared.now
        if loose is not None:
            found, again = look_again(done, ranges, loose, threshold, turn)
            for parts, run in zip(revised, found, strict=False):
                parts.append(run)
            loose_by_key += [compared.by_key for compared in again]
        decision = decide(similar, revised, ranks, threshold, loses, means.folder)
        unfinished = 0
        if pairs.capped:
            removed = means.folder / "removed"
            runs.save(removed, decision.removed)
            left = pair_again(pairs.capped, removed, turn + 1, limit, means)
            new = comparer.new([left.runs] * len(ranges), ranges, similar, turn + 1)
            unfinished = sum(one.run.rows for one in new)
        if not unfinished or turn == ROUNDS:
            return Settled(
                decision=decision,
                by_key=by_key,
                loose_by_key=loose_by_key,
                pairs=sum(run.rows for run in by_key),
                now=now,
                rounds=turn,
                left=left,
                unfinished=unfinished,
            )
        turn += 1
