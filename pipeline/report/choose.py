"""Choose which documents the report shows: samples of every reason, pairs of duplicates, the largest clusters.

Purpose: choose from small tables alone, so that the single pass over the text knows which rows to preview.
Guarantee: samples are the rows with the lowest keyed hash of their `doc_id`. They are the same on every machine, and adding or
removing a document changes at most one of them. Memory: one shard's verdicts and the rows chosen.
Cost: one read of every verdict table.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.corpus import CorpusFolder, CorpusShard
from tokenmill.pipeline.report import duplicates
from tokenmill.pipeline.report.duplicates import Duplicates
from tokenmill.pipeline.report.fates import Fate, fates, id_words
from tokenmill.pipeline.stages.dedup.kind import DEDUP

SAMPLES = 5
SEED = np.uint64(0x746F6B656E6D696C)


@dataclass(kw_only=True)
class Chosen:
    """What is shown. `samples`: ids by fate. `duplicates`: None if that stage was left out."""

    samples: dict[Fate, list[bytes]] = field(default_factory=dict)
    duplicates: Duplicates | None = None

    def wanted(self) -> set[bytes]:
        """Every document that needs a preview."""
        ids = {doc_id for chosen in self.samples.values() for doc_id in chosen}
        return ids if self.duplicates is None else ids | self.duplicates.shown()

    def compared(self) -> set[bytes]:
        """Every document whose text is compared with that of another one."""
        return set() if self.duplicates is None else self.duplicates.compared()


def choose(corpus: CorpusFolder) -> Chosen:
    """Read every verdict table once. Raises CorruptFile, Misaligned."""
    lowest: dict[Fate, list[tuple[int, bytes]]] = {}
    found = Duplicates() if corpus.step(DEDUP.name) is not None else None
    for shard in corpus.shards:
        ids = _ids(corpus, shard)
        keys = _keys(ids)
        codes, known = fates(corpus, shard, ids)
        for code, fate in enumerate(known):
            rows = np.flatnonzero(codes == code)
            first = rows[np.argsort(keys[rows], kind="stable")[:SAMPLES]]
            best = [(int(keys[row]), ids[int(row)].as_py()) for row in first]
            lowest[fate] = heapq.nsmallest(SAMPLES, [*lowest.get(fate, []), *best])
        if found is not None:
            found.add(shards.read(corpus.published, shard.tables[DEDUP.name, "verdicts"], duplicates.COLUMNS), keys)
    return Chosen(samples={fate: [doc_id for _, doc_id in best] for fate, best in lowest.items()}, duplicates=found)


def _ids(corpus: CorpusFolder, shard: CorpusShard) -> pa.ChunkedArray:
    """The ids of a shard, from a verdict table if there is one, because these are small.

    The pass over the text compares them with the ids of the documents.
    """
    verdicts = (named for (_, kind), named in shard.tables.items() if kind == "verdicts")
    named = next(verdicts, shard.documents)
    return shards.read(corpus.published, named, ["doc_id"])["doc_id"]


def _keys(ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """A keyed 64-bit mix of each id: uint64 [rows]. The finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    words = id_words(ids)
    mixed = words[:, 0] ^ words[:, 1] ^ SEED
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
