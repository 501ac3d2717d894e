"""Choose which documents the report shows, before any text is read: samples of every reason and of every place, documents near
thresholds, pairs of duplicates, the largest clusters.

Purpose: choose from small columns alone, so that the single pass over the text knows which rows to show.
Guarantee: samples are the rows with the lowest keyed hash of their `doc_id`. They are the same on every machine, and adding or
removing a document changes at most one of them. Memory: one shard's small columns and the rows chosen.
Cost: one read of every verdict table, of the scores of stages with thresholds, and of the documents without their text.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report.borders import Borders
from tokenmill.pipeline.report.contamination import Contamination, contamination
from tokenmill.pipeline.report.duplicates import Duplicates
from tokenmill.pipeline.report.fates import Fate, fates, keyed
from tokenmill.pipeline.report.judging import judge
from tokenmill.pipeline.report.origins import Origins
from tokenmill.pipeline.report.unique import COLUMNS, UniqueLost
from tokenmill.pipeline.stages.dedup.kind import DEDUP, compared

SAMPLES = 5
SEED = np.uint64(0x746F6B656E6D696C)


@dataclass(kw_only=True)
class Chosen:
    """What is shown. `samples`: ids by fate. `duplicates`: None if that stage was left out."""

    samples: dict[Fate, list[bytes]] = field(default_factory=dict)
    borders: Borders = field(default_factory=Borders)
    origins: Origins = field(default_factory=Origins)
    duplicates: Duplicates | None = None
    unique: UniqueLost | None = None
    """None also where the verdicts do not say what was lost."""
    contamination: Contamination | None = None

    def listed(self) -> set[bytes]:
        """Every document of the list of samples."""
        return {doc_id for chosen in self.samples.values() for doc_id in chosen} | self.origins.ids()

    def wanted(self) -> set[bytes]:
        """Every document of which text is shown."""
        ids = self.listed() | self.borders.ids() | (self.contamination.shown() if self.contamination is not None else set())
        return ids if self.duplicates is None else ids | self.duplicates.shown()

    def compared(self) -> set[bytes]:
        """Every document whose text is compared with that of another one, or with evaluation items."""
        ids = set() if self.duplicates is None else self.duplicates.compared()
        return ids if self.contamination is None else ids | self.contamination.shown()


def choose(corpus: CorpusFolder) -> Chosen:
    """Read the small columns once. Raises CorruptFile, Misaligned, StaleInput."""
    lowest: dict[Fate, list[tuple[int, bytes]]] = {}
    dedup = corpus.step(DEDUP.name)
    said = compared(dedup) if dedup is not None else None
    found = Chosen(duplicates=None if dedup is None else Duplicates(revised=said[2] if said else ""))
    found.unique = UniqueLost() if dedup is not None and "loses" in dedup.config["deciding"] else None
    found.contamination = contamination(corpus)
    rules = {made.stage: kind.criteria(made) for kind, made in corpus.stages}
    for shard in corpus.shards:
        table = shards.read(corpus.published, shard.documents, ["doc_id", "source", "url", "metadata"])
        ids = table["doc_id"]
        keys = keyed(ids, SEED)
        codes, known = fates(corpus, shard, ids)
        for code, fate in enumerate(known):
            rows = np.flatnonzero(codes == code)
            first = rows[np.argsort(keys[rows], kind="stable")[:SAMPLES]]
            best = [(int(keys[row]), ids[int(row)].as_py()) for row in first]
            lowest[fate] = heapq.nsmallest(SAMPLES, [*lowest.get(fate, []), *best])
        found.origins.add(table, codes, known, keys, corpus.censor)
        for stage, criteria in rules.items():
            if criteria:
                found.borders.add(judge(corpus, shard, stage, criteria, ids), ids, keys)
        if found.duplicates is not None:
            verdicts = shards.read(corpus.published, shard.tables[DEDUP.name, "verdicts"], found.duplicates.columns)
            found.duplicates.add(verdicts, keys)
        if found.unique is not None:
            evidence = shards.read(corpus.published, shard.tables[DEDUP.name, "verdicts"], ["reason", *COLUMNS])
            found.unique.add(shard.source, evidence)
    found.samples = {fate: [doc_id for _, doc_id in best] for fate, best in lowest.items()}
    return found
