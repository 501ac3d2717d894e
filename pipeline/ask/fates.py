"""What became of each document of a shard, up to what readers of the tokens see.

Guarantee: a document that every stage kept and that is on the list of forgotten documents counts as dropped by packing: readers
mask it at once. Cost: one read of the verdicts of a shard.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import StaleInput
from tokenmill.pipeline.base.manifest import PACK
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder, CorpusShard
from tokenmill.pipeline.report import fates as of_stages
from tokenmill.pipeline.report.fates import SURVIVED, Fate
from tokenmill.pipeline.stages.language.kind import LANGUAGE, labels_in
from tokenmill.pipeline.tokens import forget

__all__ = ["FORGOTTEN", "SURVIVED", "Fate", "fates", "forgotten_in", "labels_by_source"]

FORGOTTEN = Fate(PACK, forget.INPUT)


def forgotten_in(corpus: CorpusFolder) -> tuple[bytes, ...]:
    """The ids on the list of forgotten documents, sorted. Raises CorruptFile."""
    known = forget.load(corpus.root / TOKENS)
    return () if known is None else known.documents


def fates(
    corpus: CorpusFolder, shard: CorpusShard, ids: pa.ChunkedArray, forgotten: tuple[bytes, ...]
) -> tuple[npt.NDArray[np.int64], list[Fate]]:
    """What became of each row: int64 [rows] into a list whose first member is SURVIVED. Raises CorruptFile, Misaligned."""
    codes, known = of_stages.fates(corpus, shard, ids)
    gone = forget.rows_of(ids, forgotten)
    gone = gone[codes[gone] == known.index(SURVIVED)]
    if len(gone):
        codes[gone] = len(known)
        known.append(FORGOTTEN)
    return codes, known


def labels_by_source(corpus: CorpusFolder) -> dict[str, Counter[str]]:
    """By source, the documents that readers see by label of their language. Raises StaleInput, CorruptFile, Misaligned."""
    forgotten = forgotten_in(corpus)
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    kind = labels_in(corpus.require(LANGUAGE.name))
    for shard in corpus.shards:
        named = shard.tables.get((LANGUAGE.name, kind))
        if named is None:
            raise StaleInput(f"stage {LANGUAGE.name!r} has no {kind} of shard {shard.name!r}; run the build again")
        table = shards.read(corpus.published, named, ["doc_id", "language"])
        codes, _ = fates(corpus, shard, table["doc_id"], forgotten)
        labels, names = of_stages.coded(table["language"])
        numbers = np.bincount(labels[(codes == 0) & (labels >= 0)], minlength=len(names))
        # A sum of counters leaves out what is 0.
        found[shard.source] += Counter(dict(zip(names, numbers.tolist(), strict=True)))
    return found
