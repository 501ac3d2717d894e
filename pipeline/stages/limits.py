"""Comparisons of a score with a threshold, as people ask about them.

Purpose: `whatif` shows the values near a threshold, and `trace` shows what a document was measured against; both need the
score, the setting and the rows concerned, not only the decision.
Guarantee: a limit says nothing that its stage does not do; stages decide without it. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A score column compared with a setting; a row on the wrong side is dropped.

    A limit may concern some rows only: those whose `label_column` holds one of `labels`, or, with `others`, none of them.
    """

    column: str
    setting: str
    """The name of the setting in the stage's section, such as `min_words` or `thresholds.en`."""
    threshold: float
    label_column: str | None = None
    labels: tuple[str, ...] = ()
    others: bool = False

    @property
    def is_minimum(self) -> bool:
        """True if smaller values are dropped."""
        return not self.setting.rpartition(".")[2].startswith("max")

    def passes(self, value: float) -> bool:
        """Whether a row with this value is kept."""
        return value >= self.threshold if self.is_minimum else value <= self.threshold

    def fails(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Which of many values are on the wrong side; NaN never is. bool [values]"""
        return np.asarray(values < self.threshold if self.is_minimum else values > self.threshold, dtype=np.bool_)

    def concerns(self, row: Mapping[str, Any]) -> bool:
        """Whether the value of this row of scores is compared at all."""
        if row.get(self.column) is None:
            return False
        return self.label_column is None or (row.get(self.label_column) in self.labels) != self.others

    def rows_of(self, scores: pa.Table) -> npt.NDArray[np.bool_]:
        """The rows whose value is compared. bool [rows]"""
        if self.label_column is None:
            return np.ones(scores.num_rows, dtype=np.bool_)
        named = pc.is_in(scores[self.label_column].combine_chunks(), value_set=pa.array(self.labels, pa.string()))
        found: npt.NDArray[np.bool_] = np.asarray(named.to_numpy(zero_copy_only=False), dtype=np.bool_)
        return ~found if self.others else found
