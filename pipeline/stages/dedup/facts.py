"""What deduplication says of itself in its manifest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DedupFacts:
    """Counts of documents, pairs and buckets. A bucket is a group of documents that share a band."""

    documents: int
    distinct_documents: int
    verified_pairs: int
    """Candidate pairs whose similarity was computed."""
    edges: int
    """Verified pairs that reach the threshold."""
    capped_buckets: int
    """Buckets of more than `dedup.bucket_limit` documents, of which not all pairs were compared at once."""
    capped_bucket_members: int
    capped_bucket_rounds: int
    uncompared_buckets: int
    """Capped buckets that were still too large after the last round."""
    uncompared_members: int
    uncompared_pairs: int
    clusters: int
    """Groups of two or more documents that are duplicates of one kept document, which counts too."""
    expected_recall: float
    """The probability that the bands find a pair at the threshold."""
    same_key_documents: int = 0
    """Documents that left because they share a key, before texts were compared. `documents` does not count them."""
    undated_documents: int | None = None
    """Documents without a date, where the survivor policy asks for dates."""
