"""One rule of a stage as the report shows it: what it measures, its setting, whom it concerns, and what made it fire.

Purpose: the report counts for each rule how many rows fail it at all, first, and alone, without knowing any stage.
Guarantee: criteria come from a stage's manifest, in the order of the decision. The first that a row fails gives its reason; a
row that fails none is kept. Cost: none; `fails` is one comparison per row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.stages.limits import Limit

Mask = npt.NDArray[np.bool_]
Spans = list[tuple[int, int]]
"""Parts [start, end) of a text, in characters, sorted and disjoint."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What a rule compares, in one sentence, and how to find the passages of a text that make it fire."""

    sentence: str
    marked: str = ""
    """What `find` finds, in words; "" if a rule looks at no part more than at another."""
    find: Callable[[str], Spans] | None = None


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One rule. It compares a score with a threshold (`limit`), or a label with those that are kept (`labels`)."""

    stage: str
    reason: str
    setting: str
    """Name of the setting in the stage's section."""
    value: Any = field(hash=False)
    """The value of the setting, as JSON."""
    measure: Measure = field(hash=False)
    limit: Limit | None = None
    label_column: str = ""
    labels: tuple[str, ...] = ()
    where: Callable[[pa.Table], Mask] | None = field(default=None, hash=False, compare=False)
    """The rows that the rule concerns, bool [rows], where that takes several columns; None: all."""
    instead: str = ""
    """Another value of the setting, as it is written, for a rule without a threshold and without a list."""
    ranked: bool = False
    """Whether the threshold is where a share of the rows ends, so that the setting is not the threshold."""

    @property
    def name(self) -> str:
        """The setting with its section, as `--set` takes it."""
        return f"{self.stage}.{self.setting}"

    def concerned(self, scores: pa.Table) -> Mask:
        """The rows whose value is compared: those with a value, if there is a threshold. bool [rows]"""
        column = self.label_column if self.limit is None else self.limit.column
        there = np.asarray(scores[column].is_valid().to_numpy(), dtype=np.bool_)
        if self.where is not None:
            there = there & self.where(scores)
        return there if self.limit is None else there & self.limit.rows_of(scores)

    def fails(self, scores: pa.Table, reasons: npt.NDArray[np.object_]) -> Mask:
        """The rows that fail this rule, whether or not they fail others too. bool [rows]

        `reasons`: the reasons of the verdicts; a share of the rows has ties at its end, which only the verdicts tell apart.
        """
        concerned = self.concerned(scores)
        if self.limit is None:
            labels = scores[self.label_column].to_numpy()
            return np.asarray(concerned & ~np.isin(labels.astype(object), self.labels), dtype=np.bool_)
        wrong = self.limit.fails(self.values(scores))
        return np.asarray(concerned & (wrong | (self.ranked & (reasons == self.reason))), dtype=np.bool_)

    def values(self, scores: pa.Table) -> npt.NDArray[np.float64]:
        """The values that are compared; NaN where there is none. float64 [rows]"""
        assert self.limit is not None
        return np.asarray(scores[self.limit.column].cast(pa.float64()).fill_null(np.nan).to_numpy(), dtype=np.float64)


def none(made: Any) -> tuple[Criterion, ...]:
    """A stage that compares no scores with thresholds, such as one that compares documents with one another."""
    return ()
