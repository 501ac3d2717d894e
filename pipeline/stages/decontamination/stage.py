"""The stage `decontamination`: finds evaluation items in texts, and drops the documents or cuts the passages that hold them.

Purpose: a model that has read the items of an evaluation is not measured by them.
Guarantee: every passage with at least half of an item's words is stored, with its share; all decisions are made from what is
stored. A short item in very many documents is a common phrase, so the stage decides once over all shards. Settings that say
which sets count, and how much of an item does, read no text.
Cost: one pass over the text, about 100 MB/s; see `index` for what the items take. Deciding holds the passages, and 24 bytes per
document.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.stages.decontamination import index
from tokenmill.pipeline.stages.decontamination.decide import Hits, Judged, judge
from tokenmill.pipeline.stages.decontamination.evidence import ITEMS, evidence, facts
from tokenmill.pipeline.stages.decontamination.hits import SCORES, alive, found
from tokenmill.pipeline.stages.decontamination.index import INDEX, frozen
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig
from tokenmill.pipeline.stages.stage import one_batch
from tokenmill.pipeline.stages.step import Resolved, Work


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """A stage that scores shard by shard and decides once over all shards."""

    config: DecontaminationConfig
    name: ClassVar[str] = "decontamination"
    version: ClassVar[int] = 1
    scores: ClassVar[pa.Schema] = SCORES
    choosing: ClassVar[tuple[str, ...]] = ("hits", "bytes")

    @property
    def scoring(self) -> Mapping[str, Any]:
        """Includes Python's Unicode version, because it defines what a letter is. Raises ConfigError."""
        return {
            "sets": index.identities(self.config),
            "ngram_words": self.config.ngram_words,
            "numbers": self.config.numbers,
            "unicode": unicodedata.unidata_version,
        }

    @property
    def deciding(self) -> Mapping[str, Any]:
        names = ("threshold", "action", "min_words", "common_words", "common_documents")
        cut = {"max_cut_share": self.config.max_cut_share} if self.config.action == "cut" else {}
        return {**{name: getattr(self.config, name) for name in names}, "ignored_sets": sorted(self.config.ignored_sets), **cut}

    def prepare(self) -> None:
        """Make or load the index, and compile the kernel. Raises ConfigError, InputError."""
        self.score(pa.record_batch({"text": pa.array(["a text"], pa.large_string())}))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The passages of each text with at least half of an item."""
        return found(batch["text"], index.load(self.config), self.config)

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """Every row passes: `choose` decides."""
        return pa.record_batch({"reason": schema.reasons([schema.KEPT] * scores.num_rows)})

    def choose(self, passing: Sequence[pa.Table]) -> tuple[list[npt.NDArray[np.object_]], Mapping[str, Any]]:
        """The reasons of all rows, shard by shard. No facts: those need the index."""
        return [np.array(one.reasons, dtype=object) for one in self._judged(passing)], {}

    def changed(self, before: Decontamination, passing: Sequence[pa.Table]) -> list[npt.NDArray[np.bool_]]:
        """The rows of which other passages are cut than by the stage `before`."""
        pairs = zip(before._judged(passing), self._judged(passing), strict=True)
        return [np.bincount(now.hits.rows[then.cut != now.cut], minlength=len(now.reasons)) > 0 for then, now in pairs]

    def cuts(self, facts: Mapping[str, Any]) -> dict[str, float]:
        """No score has a lowest value that is kept."""
        return {}

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> Resolved:
        """Decide, and publish `ITEMS`: every item with what was found of it."""
        judged = self._judged([alive(shards.read(work.root, named)) for _, named in scored])
        known = index.load(self.config)
        items = evidence(known, judged, self.config)
        tables = {ITEMS: items, INDEX: frozen(known)}
        published = {name: shards.write(work.root, name, table) for name, table in tables.items()}
        return Resolved([one.verdict() for one in judged], facts(known, judged, items), published)

    def edits(self, scores: pa.RecordBatch, verdict: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        """The passages that are cut."""
        hits = Hits.of(scores["hits"])
        cut = verdict["cut"]
        places = np.repeat(hits.bounds[:-1], cut.value_lengths().to_numpy()) + cut.flatten().to_numpy()
        spans: list[list[tuple[int, int, str]]] = [[] for _ in range(scores.num_rows)]
        for row, start, end in zip(*(column[places].tolist() for column in (hits.rows, hits.starts, hits.ends)), strict=True):
            spans[row].append((start, end, ""))
        return spans

    def _judged(self, tables: Sequence[pa.Table]) -> list[Judged]:
        return judge([one_batch(table) for table in tables], self.config)
