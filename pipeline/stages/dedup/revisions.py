"""Revisions: pairs that miss the threshold by little are compared once more, with case and operators folded.

Purpose: a revised text often has other marks of its layout or its examples too (`Ctrl + C` for `Ctrl c`), and these count like
words. Without this, three in a thousand of the short revisions in the tests that are alike at 0.8 by their words were missed.
Guarantee: a pair counts only if its true similarity under the looser folding reaches the threshold, and if that folding hides
at most HIDDEN of the difference: so the same words with other operators or in another case are no revision, at any length.
Cost: the sets of the documents in such pairs are computed once more; similarities are kept for later builds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.runs import Range, Run
from tokenmill.pipeline.stages.dedup.verify import Compared, Comparer

HIDDEN = 1 / 3
"""The largest share of a revision's difference (1 - similarity) that the looser folding may hide. Of the revisions in the tests
it hid up to 0.25; of texts that differ in a name of their own as well as in an operator, 0.5 and more."""

Values = npt.NDArray[np.float64]


def least(threshold: float) -> float:
    """The similarity from which on a pair can be a revision."""
    return 1 - (1 - threshold) / (1 - HIDDEN)


def are_revisions(strict: Values, loose: Values, threshold: float) -> npt.NDArray[np.bool_]:
    """Which pairs are revisions, by their similarities under both foldings."""
    hidden_little = (1 - strict) * (1 - HIDDEN) <= 1 - loose
    return np.asarray((strict < threshold) & (loose >= threshold) & hidden_little, dtype=np.bool_)


def look_again(
    compared: Sequence[Compared], ranges: Sequence[Range], comparer: Comparer, threshold: float, turn: int
) -> tuple[list[Run], list[Compared]]:
    """The revisions among the pairs `compared`, as a run of `verify.SIMILAR` for each range, and all that was compared.

    `comparer` compares under the looser folding. There are no runs if no pair missed by little. Raises what comparing raises.
    """
    folder = comparer.means.folder
    missed, strictly = [], []
    for number, one in enumerate(compared):
        higher, lower, strict, *_ = one.by_pair.columns()
        near = (strict >= least(threshold)) & (strict < threshold)
        strictly.append(strict[near])
        missed.append(runs.write(folder / f"missed-{turn}-{number}", higher[near], lower[near]))
    if not any(run.rows for run in missed):
        runs.remove(missed)
        return [], []
    again = comparer.compare(comparer.new([[run] for run in missed], ranges, [()] * len(ranges), turn), turn)
    runs.remove(missed)
    found = []
    for number, (strict, other) in enumerate(zip(strictly, again, strict=True)):
        columns = other.by_pair.columns()
        chosen = are_revisions(strict, columns[2], threshold)
        found.append(runs.write(folder / f"revisions-{turn}-{number}", *(column[chosen] for column in columns)))
    return found, again
