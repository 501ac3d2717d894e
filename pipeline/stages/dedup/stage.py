"""The stage `dedup`: which documents are copies of which, and who stays.

Purpose: candidates come from shared bands, a candidate pair counts only when its true Jaccard similarity of n-gram sets
reaches the threshold, and documents are visited in survivor order: one is kept unless it is a duplicate of a kept one.
Guarantee: every removed document names a kept one and their similarity; chains never remove what is unlike everything kept;
the same verdicts for any number of workers and any order of rows within shards.
Documents and sources that are added are signed, and pairs with them compared; the result is that of a build from nothing, and
where they come last in survivor order, no old decision changes.
Cost: one pass over the text for signatures (about 170 MB/s a core), one over the shards that hold new candidates; the package
states how time, memory and disk grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import manifest, state
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.config import DedupConfig
from tokenmill.pipeline.kernels.dedup.candidates import band_keys, bucket_pairs, survivors
from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import tables
from tokenmill.pipeline.stages import runs
from tokenmill.pipeline.stages.dedup import known, survivor
from tokenmill.pipeline.stages.dedup.candidates import band, pair
from tokenmill.pipeline.stages.dedup.collected import collect
from tokenmill.pipeline.stages.dedup.exact import groups
from tokenmill.pipeline.stages.dedup.resolve import verdicts
from tokenmill.pipeline.stages.dedup.rounds import settle
from tokenmill.pipeline.stages.dedup.signatures import score_schema, settings, sign
from tokenmill.pipeline.stages.dedup.verify import Comparer
from tokenmill.pipeline.stages.step import Resolved, Work


@dataclass(frozen=True, kw_only=True)
class Dedup:
    """A stage that scores shard by shard and decides once over all of them. `sources`: names in order of priority."""

    config: DedupConfig
    sources: tuple[str, ...]
    quality: str | None = None
    """The score column of the stage `quality` that the survivor policy means by that name."""

    @property
    def name(self) -> str:
        return "dedup"

    @property
    def version(self) -> int:
        return 1

    @property
    def scores(self) -> pa.Schema:
        return score_schema(self.config)

    @property
    def scoring(self) -> Mapping[str, Any]:
        return settings(self.config)

    @property
    def deciding(self) -> Mapping[str, Any]:
        """What decisions depend on beside the signatures."""
        return {
            "threshold": self.config.threshold,
            "survivor": list(self.config.survivor),
            "quality": self.quality,
            "bucket_limit": self.config.bucket_limit,
            "sources": list(self.sources),
        }

    def prepare(self) -> None:
        """Compile the kernels, each on a tiny input, so that workers load machine code and none compiles the same twice."""
        texts = pa.array(["to be or not to be"] * 2, pa.large_string())
        sign(texts, self.config)
        sets, bounds = ngrams.ngram_sets(*utf8(texts), np.arange(2), False, 1, tables())
        sets.flags.writeable = False
        spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
        similarity = ngrams.similarities(sets, sets, spans, spans)
        keys, pairs = np.zeros(2, dtype=np.uint64), np.zeros(2, dtype=np.uint64)
        band_keys(keys.reshape(2, 1), keys)
        bucket_pairs(np.arange(2), np.arange(2), np.arange(2, dtype=np.uint32), 0, pairs)
        survivors(pairs[:1], similarity[:1], np.arange(2), np.ones(2))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Signatures of the batch's texts, as `scores` describes them."""
        return sign(batch["text"], self.config)

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> Resolved:
        """Band, verify, resolve: verdicts of the rows alive of each shard, in order, and what is worth knowing of them.

        Raises Misaligned or CorruptFile where signatures are missing, StaleInput where they were made with other settings,
        ConfigError for a source without a priority.
        """
        views = [view for view, _ in scored]
        documents = collect(scored, self.config, self.sources, work.executor)
        keys = survivor.keys(self.config.survivor, self.quality, views, work)
        distinct = groups(documents, self.config.survivor, keys)
        identity = manifest.fingerprint(self.name, self.version, self.scoring, {})
        with runs.scratch(work.root / state.FOLDER / "dedup" / ".work") as folder:
            bands = band(scored, documents, distinct, self.config.scheme.bands, folder, work.executor)
            pairs = pair(bands, self.config.bucket_limit, folder, work.executor)
            runs.remove(bands)
            runs.save(folder / "exact", documents.exact[distinct.rows])
            work.progress.say(f"dedup: {pairs.total} candidate pairs of {len(distinct.rows)} distinct documents")
            comparer = Comparer(
                views=views,
                starts=documents.starts,
                groups=distinct,
                exact=folder / "exact",
                known=known.load(work.root, identity),
                scheme=self.config.scheme,
                folder=folder,
                executor=work.executor,
            )
            settled = settle(
                pairs,
                comparer,
                ranks=len(distinct.rows),
                threshold=self.config.threshold,
                limit=self.config.bucket_limit,
                folder=folder,
                executor=work.executor,
            )
            known.save(work.root, identity, settled.by_key, work.executor)
        batches, clusters = verdicts(documents, distinct, settled.decision)
        facts = {
            "documents": len(documents.text_bytes),
            "distinct_documents": len(distinct.rows),
            "verified_pairs": settled.pairs,
            "edges": settled.decision.edges,
            "capped_buckets": pairs.buckets,
            "capped_bucket_members": pairs.members,
            "capped_bucket_rounds": settled.rounds,
            "uncompared_buckets": settled.left.buckets,
            "uncompared_members": settled.left.members,
            "uncompared_pairs": settled.left.left_out + settled.unfinished,
            "clusters": clusters,
            "expected_recall": round(self.config.scheme.probability(self.config.threshold), 6),
            **survivor.facts(keys),
        }
        return Resolved(batches, facts, now={"verified_pairs": settled.now})
