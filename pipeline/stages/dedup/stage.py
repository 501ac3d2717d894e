"""The stage `dedup`: finds documents that duplicate each other, and decides which of them is kept.

Purpose: shared bands give candidate pairs. A pair counts only if its true Jaccard similarity of n-gram sets reaches the
threshold, or as a revision (`revisions`). Documents are visited in survivor order, and a document is kept unless it duplicates
a kept one.
Guarantee: every removed document names a kept one, their similarity, and what was compared. An exact duplicate has the bytes of
the document it names, or its text but for white space if `exact` says so. A chain of duplicates never removes a document that
is unlike every kept one. The verdicts are the same for any number of workers and any order of rows within shards.
Added documents and sources are signed, and pairs with them are compared. The result equals that of a build from nothing. If
the added documents come last in survivor order, no earlier decision changes.
Cost: one pass over the text for signatures (about 170 MB/s per core), and one over the shards that hold new candidates. The
package's docstring says where it is written how time, memory and disk grow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.kernels.dedup.candidates import band_keys, bucket_pairs, survivors
from tokenmill.pipeline.kernels.text import ngrams
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.unicode import tables
from tokenmill.pipeline.stages.dedup import known, survivor
from tokenmill.pipeline.stages.dedup.candidates import band, pair
from tokenmill.pipeline.stages.dedup.collected import gather
from tokenmill.pipeline.stages.dedup.exact import distinct
from tokenmill.pipeline.stages.dedup.keys import shared
from tokenmill.pipeline.stages.dedup.rounds import settle
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.signatures import score_schema, settings, sign
from tokenmill.pipeline.stages.dedup.verdicts import verdicts
from tokenmill.pipeline.stages.dedup.verify import Comparer
from tokenmill.pipeline.stages.step import Resolved, Work


@dataclass(frozen=True, kw_only=True)
class Dedup:
    """A stage that scores shard by shard and decides once over all shards. `sources`: names in order of priority."""

    config: DedupConfig
    sources: tuple[str, ...]
    quality: str | None = None
    """The score column of the stage `quality` that the survivor policy calls "quality"."""

    @property
    def name(self) -> str:
        return "dedup"

    @property
    def version(self) -> int:
        return 2

    @property
    def scores(self) -> pa.Schema:
        return score_schema(self.config)

    @property
    def scoring(self) -> Mapping[str, Any]:
        return settings(self.config)

    @property
    def deciding(self) -> Mapping[str, Any]:
        """The settings that decisions depend on, in addition to the signatures."""
        return {
            "keys": list(self.config.keys),
            "exact": self.config.exact,
            "threshold": self.config.threshold,
            "loses": self.config.loses,
            "looser": dict(self.config.looser),
            "survivor": list(self.config.survivor),
            "quality": self.quality,
            "bucket_limit": self.config.bucket_limit,
            "sources": list(self.sources),
        }

    def prepare(self) -> None:
        """Compile the kernels on tiny inputs, so that workers load machine code instead of compiling the same kernels again."""
        texts = pa.array(["to be or not to be"] * 2, pa.large_string())
        sign(texts, self.config)
        sets, bounds = ngrams.ngram_sets(*utf8(texts), np.arange(2), False, 1, tables())
        spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
        similarity = ngrams.similarities(sets, sets, spans, spans)
        keys, pairs = np.zeros(2, dtype=np.uint64), np.zeros(2, dtype=np.uint64)
        band_keys(keys.reshape(2, 1), keys)
        bucket_pairs(np.arange(2), np.arange(2), pairs, pairs, 0, pairs.copy(), pairs.copy())
        survivors(pairs, pairs, similarity[:2], np.zeros(1, dtype=np.uint8), np.zeros(2, dtype=np.int64))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Signatures of the batch's texts, as `scores` describes them."""
        return sign(batch["text"], self.config)

    def resolve(self, scored: Sequence[tuple[View, Named]], work: Work) -> Resolved:
        """Band, verify, resolve: the verdicts of each shard's rows alive, in order, and facts for the manifest.

        Raises Misaligned or CorruptFile if signatures are missing, StaleInput if other settings made them, ConfigError for a
        source without a priority.
        """
        views = [view for view, _ in scored]
        means = work.means(work.scratch(self.name))
        criteria = survivor.criteria(self.config.survivor, self.quality, views, self.sources, work)
        left = shared(scored, self.config, criteria, means)
        gathered = gather(scored, self.config, criteria, means, [run for parts in left for run in parts])
        texts = distinct(gathered, means, exact=self.config.exact != "off")
        identity = manifest.fingerprint(self.name, self.version, self.scoring, {})
        bands = band(scored, gathered.alive, texts.leaders, self.config.scheme.bands, means)
        pairs = pair(bands, self.config.bucket_limit, means)
        runs.remove([*bands, *texts.leaders])
        work.progress.say(f"dedup: {pairs.total:,} candidate pairs of {texts.count:,} distinct documents")
        comparer = Comparer(
            views=views,
            hashes=texts.hashes,
            known=known.load(work.root, identity),
            scheme=self.config.scheme,
            folding=self.config.folding,
            means=means,
        )
        looser = self.config.model_copy(update=dict(self.config.looser))
        identity_of_loose = manifest.fingerprint(self.name, self.version, settings(looser), {})
        stored = known.load(work.root, identity_of_loose, known.REVISIONS)
        loose = dataclasses.replace(comparer, folding=looser.folding, known=stored, label="loose-")
        settled = settle(
            pairs,
            comparer,
            loose=loose if self.config.looser else None,
            ranks=texts.documents,
            threshold=self.config.threshold,
            loses=self.config.loses,
            limit=self.config.bucket_limit,
            means=means,
        )
        known.save(work.root, identity, settled.by_key, means)
        if settled.loose_by_key or stored:
            known.save(work.root, identity_of_loose, settled.loose_by_key, means, known.REVISIONS)
        found, clusters = verdicts(settled.decision, texts, gathered.alive, self.config, means, left)
        facts = {
            "documents": texts.documents,
            "distinct_documents": texts.count,
            "verified_pairs": settled.pairs,
            "edges": settled.decision.edges,
            "capped_buckets": pairs.buckets,
            "capped_bucket_members": pairs.members,
            "capped_bucket_rounds": settled.rounds,
            "uncompared_buckets": settled.left.buckets,
            "uncompared_members": settled.left.members,
            "uncompared_pairs": settled.left.left_out + settled.unfinished,
            "clusters": clusters,
            "same_key_documents": sum(run.rows for parts in left for run in parts),
            "expected_recall": round(self.config.expected_recall, 6),
            **({} if gathered.undated is None else {"undated_documents": gathered.undated}),
        }
        return Resolved(found, facts, now={"verified_pairs": settled.now})
