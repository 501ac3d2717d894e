"""The stage `quality`: scores by the statistics that a recipe needs, reasons by its thresholds, edits by its line rules.

Purpose: see `rules` for what is judged and `recipes` for the thresholds.
Guarantee: a changed threshold recomputes no score; only line rules, which decide what is left to judge, are settings of
the scores. A recipe without line rules edits nothing.
Cost: see `statistics`; one document's words and lines in memory at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from pipeline import schema
from pipeline.config import QualityConfig, Thresholds
from pipeline.quality.lines import LineRules
from pipeline.quality.recipes import resolve
from pipeline.quality.rules import Page, Rule, active, first_failing, line_rules
from pipeline.quality.statistics import Text

REMOVED = pa.field(
    "removed",
    pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("replacement", pa.string())])),
)
"""The edits of the line rules, in bytes of the text that was scored."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The stage for `config`. Making one raises ConfigError for an unknown recipe or contradicting thresholds."""

    config: QualityConfig
    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        resolve(self.config)

    @property
    def thresholds(self) -> Thresholds:
        """The recipe's, with those that are set beside it."""
        return resolve(self.config)

    @property
    def lines(self) -> LineRules | None:
        return line_rules(self.thresholds)

    @property
    def columns(self) -> dict[str, Rule]:
        """The score columns, each with the first rule that compares it."""
        found: dict[str, Rule] = {}
        for rule, _ in active(self.thresholds):
            found.setdefault(rule.column, rule)
        return found

    @property
    def scores(self) -> pa.Schema:
        fields = [pa.field(name, rule.type) for name, rule in self.columns.items()]
        return pa.schema(fields if self.lines is None else [*fields, REMOVED])

    @property
    def scoring(self) -> Mapping[str, Any]:
        return {"statistics": list(self.columns), "lines": None if self.lines is None else dataclasses.asdict(self.lines)}

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {
            "recipe": self.config.recipe,
            "thresholds": {rule.threshold: threshold for rule, threshold in active(self.thresholds)},
        }

    @property
    def explanations(self) -> Mapping[str, tuple[str, str, float]]:
        """For each reason that can occur: the score's column, the setting, and the threshold it has. In the rules' order."""
        return {rule.reason: (rule.column, rule.threshold, threshold) for rule, threshold in active(self.thresholds)}

    def prepare(self) -> None:
        """Nothing to load."""

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """One document at a time, so that only one has its words in memory."""
        lines, rules, fields = self.lines, self.columns.values(), self.scores
        values: list[list[Any]] = [[] for _ in fields]
        for text in batch["text"]:
            page = Page(Text(text.as_py()), lines)
            for column, rule in zip(values, rules, strict=False):
                column.append(rule.score(page))
            if lines is not None:
                values[-1].append([{"start": a, "end": b, "replacement": new} for a, b, new in page.left.edits])
        return pa.record_batch(
            [pa.array(column, field.type) for column, field in zip(values, fields, strict=True)], schema=fields
        )

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """The reason of the first rule that a row fails."""
        columns = {name: scores[name].to_numpy() for name in self.columns}
        return pa.record_batch({"reason": schema.reasons(first_failing(columns, self.thresholds))})

    def edits(self, scores: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        """What the line rules remove, as scored."""
        if self.lines is None:
            return [[] for _ in range(scores.num_rows)]
        return [[(edit["start"], edit["end"], edit["replacement"]) for edit in row] for row in scores["removed"].to_pylist()]
