"""The stage `quality` with a model that keeps a share of the documents: it decides once, over all shards.

Purpose: DCLM's percentile (Li et al. 2024, arXiv 2406.11794, section 4.4): the best tenth of the documents that pass
everything else.
Guarantee: each such model chooses among all documents that pass every rule and every model with `min` or `max`. A document is
kept if all these models choose it. The choice does not depend on workers or on the order of shards.
Cost: one read of the scores; about 100 bytes per scored document.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.stages.quality import models
from tokenmill.pipeline.stages.quality.settings import QualityConfig, column
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.stage import one_batch
from tokenmill.pipeline.stages.step import Resolved, Work


def quality(config: QualityConfig) -> Quality:
    """The stage for these settings: one that decides row by row, if no model keeps a share. Raises what `Quality` raises."""
    ranked = any(model.keep_fraction is not None for model in config.models.values())
    return RankedQuality(config=config) if ranked else Quality(config=config)


@dataclass(frozen=True, kw_only=True)
class RankedQuality(Quality):
    """`Quality` with a step over all shards. Its `decide` covers everything but the shares."""

    @property
    def choosing(self) -> tuple[str, ...]:
        """The score columns of the models that keep a share, in the order in which they choose."""
        return tuple(self._shares)

    @property
    def _shares(self) -> dict[str, float]:
        configured = self.config.models
        every = {column(name): configured[name].keep_fraction for name in models.names(configured)}
        return {name: share for name, share in every.items() if share is not None}

    def choose(self, passing: Sequence[pa.Table]) -> tuple[list[npt.NDArray[np.object_]], Mapping[str, Any]]:
        """The reasons of the rows that pass everything else, shard by shard, and facts by score column (`ShareFacts`)."""
        candidates = pa.concat_tables(passing) if passing else pa.table({name: [] for name in ("doc_id", *self.choosing)})
        reason = np.full(candidates.num_rows, schema.KEPT, dtype=object)
        facts: dict[str, Any] = {}
        for name, share in reversed(self._shares.items()):
            values = candidates[name].to_numpy()
            kept = models.kept_by_rank(values, candidates["doc_id"], share)
            reason[~kept] = name
            cut = float(values[kept].min()) if kept.any() else None
            facts[name] = {"candidates": len(values), "kept": int(kept.sum()), "cut": cut}
        ends = np.cumsum([table.num_rows for table in passing])[:-1]
        return (np.split(reason, ends) if passing else []), facts

    def cuts(self, facts: Mapping[str, Any]) -> dict[str, float]:
        """The lowest score that each model kept; NaN where it kept none."""
        return {name: math.nan if fact["cut"] is None else fact["cut"] for name, fact in facts.items()}

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> Resolved:
        """The verdicts of `decide`, then of the models that keep a share. Facts: `ShareFacts` by score column."""
        verdicts: list[pa.RecordBatch] = []
        passing: list[pa.Table] = []
        for _, named in scored:
            table = shards.read(work.root, named)
            alive = table.filter(table[self.scores.names[0]].is_valid())
            verdict = self.decide(one_batch(alive.drop_columns(["doc_id"])))
            verdicts.append(verdict)
            passing.append(alive.filter(pa.array(schema.alive(verdict["reason"]))).select(["doc_id", *self.choosing]))
        chosen, facts = self.choose(passing)
        return Resolved([_with(*pair) for pair in zip(verdicts, chosen, strict=True)], facts)


def _with(verdict: pa.RecordBatch, chosen: npt.NDArray[np.object_]) -> pa.RecordBatch:
    """`verdict`, with the reasons `chosen` in its kept rows."""
    reasons = np.array(verdict["reason"].to_pylist(), dtype=object)
    reasons[schema.alive(verdict["reason"])] = chosen
    return verdict.set_column(verdict.schema.get_field_index("reason"), schema.REASON, schema.reasons(reasons))
