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
from tokenmill.pipeline.kernels.decontamination.passages import find
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.stages.decontamination import index
from tokenmill.pipeline.stages.decontamination.decide import Hits, Judged, judge
from tokenmill.pipeline.stages.decontamination.evidence import ITEMS, evidence, facts
from tokenmill.pipeline.stages.decontamination.settings import LEAST_SHARE, DecontaminationConfig
from tokenmill.pipeline.stages.stage import one_batch
from tokenmill.pipeline.stages.step import Resolved, Work

HIT = pa.struct(
    [
        ("set", pa.string()),
        ("item", pa.string()),
        ("words", pa.int32()),
        ("share", pa.float64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
    ]
)
SCORES = pa.schema([pa.field("coverage", pa.float64()), pa.field("hits", pa.list_(HIT)), pa.field("bytes", pa.int64())])
"""`coverage`: the greatest share of an item that stands in a passage, 0 if none has half of one. `hits`: all such passages, in
the order of the text: the set and the item, the words of the item that count, the share, and the bytes [start, end) of the text
as the stage reads it. `bytes`: of the text."""
SHARE_DECIMALS = 4


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
        known, text = index.load(self.config), batch["text"]
        data, offsets = utf8(text)
        rows, texts, starts, ends, shares = find(
            data, offsets, index.folding(self.config), known.lookup, self.config.ngram_words, LEAST_SHARE
        )
        order = np.lexsort((texts, ends, starts, rows))
        rows, texts, starts, ends, shares = (column[order] for column in (rows, texts, starts, ends, shares))
        items = known.item_of[texts]
        shares = np.round(shares, SHARE_DECIMALS)
        columns = [
            pa.array(known.sets, pa.string()).take(pa.array(known.set_of[items])),
            pa.array([known.ids[item] for item in items.tolist()], pa.string()),
            pa.array(known.words[texts].astype(np.int32)),
            pa.array(shares),
            pa.array(starts),
            pa.array(ends),
        ]
        bounds = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(text)))]).astype(np.int32)
        hits = pa.ListArray.from_arrays(pa.array(bounds), pa.StructArray.from_arrays(columns, fields=list(HIT)))
        coverage = np.zeros(len(text))
        np.maximum.at(coverage, rows, shares)
        return pa.RecordBatch.from_arrays([pa.array(coverage), hits, pa.array(np.diff(offsets))], schema=SCORES)

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """Every row passes: `choose` decides."""
        return pa.record_batch({"reason": schema.reasons([schema.KEPT] * scores.num_rows)})

    def choose(self, passing: Sequence[pa.Table]) -> tuple[list[npt.NDArray[np.object_]], Mapping[str, Any]]:
        """The reasons of all rows, shard by shard. No facts: those need the index."""
        return [np.array(one.reasons, dtype=object) for one in self._judged(passing)], {}

    def cuts(self, facts: Mapping[str, Any]) -> dict[str, float]:
        """No score has a lowest value that is kept."""
        return {}

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> Resolved:
        """Decide, and publish `ITEMS`: every item with what was found of it."""
        tables = []
        for _, named in scored:
            table = shards.read(work.root, named)
            tables.append(table.filter(table["coverage"].is_valid()))
        judged = self._judged(tables)
        known = index.load(self.config)
        found = evidence(known, judged, self.config)
        published = {ITEMS: shards.write(work.root, ITEMS, found)}
        return Resolved([one.verdict() for one in judged], facts(known, judged, found), published)

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
