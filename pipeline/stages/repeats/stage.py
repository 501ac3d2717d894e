"""The stage `repeats`: removes lines or paragraphs that many documents of a source contain.

Purpose: menus, licences and notices say nothing about the document that contains them. The documents stay; spans of them are
removed.
Guarantee: a removed unit occurs in at least `min_documents` documents of its source, and in at least `min_share` of them. By
default the first of these documents keeps it. Units are compared by a 64-bit hash: the odds that any of n distinct units is
removed by mistake are n * r / 2^64, where r of them are repeated (1 in 180 for 10 billion and 10 million).
Cost: one pass over the text; then `counts` and `decide`, and 4 bytes of memory per removed unit. Changed thresholds read the
scores and, for the examples, the text of first documents.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import shards, state
from tokenmill.pipeline.base.errors import Misaligned
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.kernels.dedup import bloom
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.repeats import filters
from tokenmill.pipeline.stages.repeats import scores as scores_of
from tokenmill.pipeline.stages.repeats.counts import Repeated, SourceShards, needed, repeated
from tokenmill.pipeline.stages.repeats.decide import EVIDENCE, REPEATED, Decide, DecidedShard, decide
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.step import Resolved, Work

UNITS = "repeats/units.parquet"


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """A stage that scores shard by shard and decides once over each source."""

    config: RepeatsConfig
    censor: Censor = field(default_factory=Censor)
    """Hides personal data in the examples."""
    name: ClassVar[str] = "repeats"
    version: ClassVar[int] = 1
    scores: ClassVar[pa.Schema] = scores_of.SCORES

    @property
    def scoring(self) -> Mapping[str, Any]:
        """Includes Python's Unicode version, because it defines what a letter is."""
        unicode = unicodedata.unidata_version
        return {"unit": self.config.unit, "min_characters": self.config.min_characters, "unicode": unicode}

    @property
    def deciding(self) -> Mapping[str, Any]:
        names = ["min_documents", "min_share", "keep_first", "counts"]
        names += ["expected_units", "error_rate"] if self.config.counts == "bloom" else []
        return {**{name: getattr(self.config, name) for name in names}, **self.censor.identity}

    def prepare(self) -> None:
        """Compile the kernels."""
        scores_of.split(pa.array(["a line"], pa.large_string()), self.config)
        bloom.add(np.zeros(8, np.uint8), 1, np.zeros(1, np.uint64))
        bloom.lowest(np.zeros(8, np.uint8), 1, np.zeros(1, np.uint64), np.zeros(1, np.uint8))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The units of the batch's texts, as `scores.SCORES` describes them."""
        return scores_of.split(batch["text"], self.config)

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> Resolved:
        """Count, then decide. Publishes `UNITS`, the repeated units with their evidence.

        Facts, by source: how many documents must contain a unit, and how many units are repeated. With a filter, also the
        share of its counters that are not 0, and the share of rare units that is expected to pass it.
        """
        with runs.scratch(work.root / state.FOLDER / self.name / ".counts") as folder:
            sources = self._sources(scored, work, folder)
            found = repeated(sources, work, folder)
            decided = _decide(sources, found, self, work, folder)
        groups = list(zip(sources, found, decided, strict=True))
        evidence = pa.concat_tables([EVIDENCE.empty_table(), *(_evidence(*group) for group in groups)])
        published = {UNITS: shards.write(work.root, UNITS, evidence.unify_dictionaries().combine_chunks())}
        facts = {one.name: _facts(one, units) for one, units, _ in groups}
        return Resolved([shard.verdict for source in decided for shard in source], facts, published)

    def edits(self, scores: pa.RecordBatch, verdict: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        """The spans of the removed units. Of the newlines before and after a span, the longer run stays.

        At the beginning or the end of a text neither run stays.
        """
        units = scores_of.units_of(scores["units"])
        removed = verdict["removed"]
        places = np.repeat(units.bounds[:-1], removed.value_lengths().to_numpy()) + removed.flatten().to_numpy()
        rows, starts, ends = units.rows[places], units.starts[places], units.ends[places]
        before, after = units.before[places], units.after[places]
        # Adjacent units are removed as one span.
        begins = np.ones(len(places), dtype=np.bool_)
        begins[1:] = (rows[1:] != rows[:-1]) | (starts[1:] != ends[:-1] + after[:-1])
        first, last = np.flatnonzero(begins), np.flatnonzero(np.roll(begins, -1))
        rows, starts, ends, before, after = rows[first], starts[first], ends[last], before[first], after[last]
        at_edge = (starts == before) | (ends + after == scores["bytes"].to_numpy()[rows])
        starts = starts - np.where(at_edge | (before < after), before, 0)
        ends = ends + np.where(at_edge | (before >= after), after, 0)
        spans: list[list[tuple[int, int, str]]] = [[] for _ in range(scores.num_rows)]
        for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
            spans[row].append((start, end, ""))
        return spans

    def _sources(self, scored: Sequence[tuple[View, Named]], work: Work, folder: Path) -> list[SourceShards]:
        """The shards grouped by source."""
        documents = {shard.name: shard.counts.kept for shard in work.before[-1].shards}
        found = []
        for name, members in itertools.groupby(scored, key=lambda one: one[0].source):
            mine = tuple(members)
            least = needed(self.config, sum(documents[view.name] for view, _ in mine))
            path = folder / f"{name}.filter"
            asked = filters.make(mine, self.config, work, path) if self.config.counts == "bloom" else None
            found.append(SourceShards(name=name, shards=mine, least=least, filter=asked))
        if len({one.name for one in found}) < len(found):
            raise Misaligned(f"{self.name}: the shards of a source must stand together: {[view.name for view, _ in scored]}")
        return found


def _decide(
    sources: Sequence[SourceShards], found: Sequence[Repeated], stage: Repeats, work: Work, folder: Path
) -> list[list[DecidedShard]]:
    """Decide every shard, grouped by source."""
    tasks = []
    for one, units in zip(sources, found, strict=True):
        columns = (column.astype(kind) for column, kind in zip(units, REPEATED, strict=True))
        run = runs.write(folder / f"{one.name}.repeated", *columns)
        shards_of = units.shards.astype(np.uint64)
        firsts = runs.write_sorted(folder / f"{one.name}.firsts", shards_of, np.arange(len(shards_of)))
        tasks += [
            Decide(
                view=view,
                named=named,
                number=number,
                repeated=run,
                firsts=firsts,
                keep_first=stage.config.keep_first,
                censor=stage.censor,
            )
            for number, (view, named) in enumerate(one.shards)
        ]
    decided = iter(work.executor.map(decide, tasks))
    return [list(itertools.islice(decided, len(one.shards))) for one in sources]


def _evidence(source: SourceShards, found: Repeated, decided: Sequence[DecidedShard]) -> pa.Table:
    """The repeated units of a source, those of most documents first."""
    removed, removed_bytes = np.zeros((2, len(found.hashes)), dtype=np.int64)
    for shard in decided:
        removed[shard.units] += shard.removed
        removed_bytes[shard.units] += shard.removed_bytes
    order = np.lexsort((found.hashes, -found.documents))
    shown = np.argsort(np.concatenate([shard.first for shard in decided]))
    doc_ids = pa.concat_arrays([shard.doc_ids for shard in decided]).take(pa.array(shown))
    examples = pa.concat_arrays([shard.examples for shard in decided]).take(pa.array(shown))
    numbers = [found.hashes, found.documents, found.occurrences, removed, removed_bytes]
    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(order), dtype=np.int32)), [source.name])
    return pa.Table.from_arrays([name, *map(pa.array, numbers), doc_ids, examples], schema=EVIDENCE).take(pa.array(order))


def _facts(source: SourceShards, found: Repeated) -> dict[str, Any]:
    facts = {"needed_documents": source.least, "repeated_units": len(found.hashes)}
    if source.filter is None:
        return facts
    return {**facts, "filter_fill": source.filter.fill, "filter_error": source.filter.error}
