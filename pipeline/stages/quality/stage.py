"""The stage `quality`: scores are the statistics that a recipe needs, its thresholds give reasons, its line rules edits.

Purpose: `rules` lists what is judged, `recipes` the thresholds.
Guarantee: a changed threshold recomputes no score. Scores depend only on the line rules, which decide what is left to judge,
and on the set of statistics and models. A recipe without line rules edits nothing.
Cost: see `statistics`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.quality import models, statistics
from tokenmill.pipeline.stages.quality.lines import REMOVED, LineRules, removed
from tokenmill.pipeline.stages.quality.recipes import resolve
from tokenmill.pipeline.stages.quality.rules import active, first_failing, line_rules
from tokenmill.pipeline.stages.quality.settings import QualityConfig, Thresholds


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The stage for `config`. Making one raises ConfigError for an unknown recipe or contradicting thresholds."""

    config: QualityConfig
    name: ClassVar[str] = "quality"
    version: ClassVar[int] = 3

    def __post_init__(self) -> None:
        resolve(self.config)
        models.check(self.config.models)

    @property
    def thresholds(self) -> Thresholds:
        """The recipe's thresholds, with those set in `config` replacing them."""
        return resolve(self.config)

    @property
    def lines(self) -> LineRules | None:
        return line_rules(self.thresholds)

    @property
    def columns(self) -> list[str]:
        """The statistics that the rules compare, in the order of the rules."""
        return list(dict.fromkeys(rule.column for rule, _ in active(self.thresholds)))

    @property
    def statistics(self) -> pa.Schema:
        """The score columns without those of models."""
        fields = [pa.field(name, statistics.type_of(name)) for name in self.columns]
        return pa.schema(fields if self.lines is None else [*fields, REMOVED])

    @property
    def scores(self) -> pa.Schema:
        return pa.schema([*self.statistics, *models.fields(self.config.models)])

    @property
    def scoring(self) -> Mapping[str, Any]:
        lines = None if self.lines is None else dataclasses.asdict(self.lines)
        return {"statistics": self.columns, "lines": lines, "models": models.scoring(self.config.models)}

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {
            "recipe": self.config.recipe,
            "thresholds": {rule.setting: threshold for rule, threshold in active(self.thresholds)},
            "models": models.deciding(self.config.models),
        }

    def limits(self, cuts: Mapping[str, float]) -> list[tuple[str, Limit]]:
        """A limit for each rule that is on, then for each model. See `pipeline.stages.stage.Limited`."""
        rules = {rule.reason: (rule.column, rule.setting, threshold) for rule, threshold in active(self.thresholds)}
        return [
            (reason, Limit(column=column, setting=setting, threshold=cuts.get(column, float(threshold))))
            for reason, (column, setting, threshold) in (rules | models.explanations(self.config.models)).items()
        ]

    def prepare(self) -> None:
        """Load the models and compile the kernel."""
        models.prepare(self.config.models)
        statistics.measure(pa.array([""], pa.large_string()), self.columns, self.lines)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The statistics of each text, and the models' scores of the text that the line rules leave."""
        columns, edits = statistics.measure(batch["text"], self.columns, self.lines)
        scores = pa.record_batch(columns if self.lines is None else [*columns, edits], schema=self.statistics)
        if not self.config.models:
            return scores
        return models.append(self.config.models, scores, models.after(batch["text"], removed(edits)))

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """The reason of the first rule that a row fails; if it fails none, that of the first model it fails."""
        columns = {name: scores[name].to_numpy() for name in self.columns}
        reason = first_failing(columns, self.thresholds)
        judged = models.first_failing(self.config.models, scores)
        return pa.record_batch({"reason": schema.reasons(np.where(reason == schema.KEPT, judged, reason))})

    def edits(self, scores: pa.RecordBatch, verdict: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        """The edits of the line rules, as scored."""
        if self.lines is None:
            return [[] for _ in range(scores.num_rows)]
        return removed(scores["removed"])
