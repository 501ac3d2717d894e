"""The stage `dedup`: which documents are copies of which, and who stays.

Purpose: candidates come from shared bands, a candidate pair counts only when its true Jaccard similarity of word n-gram
sets reaches the threshold, and documents are visited in survivor order: one is kept unless it is a duplicate of a kept one.
Guarantee: every removed document names a kept one and their similarity; chains never remove what is unlike everything kept;
the same verdicts for any number of workers and any order of rows within shards.
Cost: one pass over the text for signatures (about 200 MB/s a core), one over the shards that hold candidates, and one read
of the others; `signatures`, `candidates` and `verify` state the memory.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.config import DedupConfig
from pipeline.dedup.candidates import candidates
from pipeline.dedup.exact import groups
from pipeline.dedup.resolve import verdicts
from pipeline.dedup.signatures import collect, score_schema, sign
from pipeline.dedup.verify import verify
from pipeline.kernels import ngrams
from pipeline.kernels.buffers import utf8
from pipeline.kernels.candidates import bucket_pairs, survivors
from pipeline.kernels.unicode import tables
from pipeline.shards import Named, View
from pipeline.work import Work


@dataclass(frozen=True, kw_only=True)
class Dedup:
    """A stage that scores shard by shard and decides once over all of them. `sources`: names in order of priority."""

    config: DedupConfig
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        return "dedup"

    @property
    def version(self) -> int:
        return 1

    @property
    def scores(self) -> pa.Schema:
        """`exact`: 128-bit hash of the normalised text; `words`, `bytes`: its words, and the text's length; `bands`."""
        return score_schema(self.config.bands)

    @property
    def scoring(self) -> Mapping[str, Any]:
        """What signatures depend on. Python's Unicode version is part of it: it says what a letter is."""
        return {
            "ngram_words": self.config.ngram_words,
            "bands": self.config.bands,
            "rows": self.config.rows,
            "seed": self.config.seed,
            "unicode": unicodedata.unidata_version,
        }

    @property
    def deciding(self) -> Mapping[str, Any]:
        """What decisions depend on beside the signatures."""
        return {
            "threshold": self.config.threshold,
            "survivor": list(self.config.survivor),
            "bucket_limit": self.config.bucket_limit,
            "sources": list(self.sources),
        }

    def prepare(self) -> None:
        """Compile the kernels, each on a tiny input, so that workers load machine code and none compiles the same twice."""
        texts = pa.array(["to be or not to be"] * 2, pa.large_string())
        sign(texts, self.config)
        sets, bounds = ngrams.ngram_sets(*utf8(texts), np.arange(2), 1, tables())
        sets.flags.writeable = False
        spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
        similarity = ngrams.similarities(sets, sets, spans, spans)
        bucket_pairs(np.zeros(2, dtype=np.uint64), np.arange(2), 2)
        survivors(np.zeros(1, np.int64), np.ones(1, np.int64), similarity[:1], np.arange(2), np.ones(2))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Signatures of the batch's texts, as `scores` describes them."""
        return sign(batch["text"], self.config)

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> tuple[list[pa.RecordBatch], Mapping[str, Any]]:
        """Band, verify, resolve: verdicts of the rows alive of each shard, in order, and what is worth knowing of them.

        Raises Misaligned or CorruptFile where signatures are missing or not of these settings, ConfigError for a source
        without a priority.
        """
        views = [view for view, _ in scored]
        signatures = collect(scored, self.config, self.sources)
        distinct = groups(signatures, self.config.survivor)
        pairs, capped = candidates(signatures, distinct, self.config.bucket_limit)
        work.progress.say(f"dedup: comparing {len(pairs)} candidate pairs of {len(distinct.rows)} distinct documents")
        edges = verify(
            pairs,
            signatures,
            distinct,
            views,
            work,
            ngram_words=self.config.ngram_words,
            threshold=self.config.threshold,
        )
        batches, clusters = verdicts(signatures, distinct, edges)
        facts = {
            "documents": len(signatures.words),
            "distinct_documents": len(distinct.rows),
            "candidate_pairs": len(pairs),
            "verified_pairs": edges.verified,
            "edges": len(edges.lower),
            "capped_buckets": capped.buckets,
            "capped_bucket_members": capped.members,
            "clusters": clusters,
        }
        return batches, facts
