"""Candidates: pairs of documents that share a band.

Guarantee: each pair once, whatever number of bands it shares; the same pairs in any order of documents. Buckets that were
too large to compare in full are counted.
Cost: one sort per band of the documents with n-grams (16 bytes each), 8 bytes per distinct pair, and twice as much while
one band is merged into those before it. At most bucket_limit / 2 pairs per document and band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.dedup.exact import Groups
from pipeline.dedup.signatures import Signatures
from pipeline.kernels.candidates import bucket_pairs


@dataclass(frozen=True, kw_only=True)
class Capped:
    """Buckets over the limit, and documents in them, summed over the bands."""

    buckets: int
    members: int


def candidates(signatures: Signatures, groups: Groups, limit: int) -> tuple[npt.NDArray[np.int64], Capped]:
    """Pairs of ranks that share a band, the lower rank first: int64 [pairs, 2], sorted. The scheme: `bucket_pairs`."""
    ranks = np.flatnonzero(signatures.banded[groups.rows])
    rows = groups.rows[ranks]
    found = np.empty(0, dtype=np.uint64)
    buckets = members = 0
    for band in range(signatures.bands.shape[1]):
        hashes = signatures.bands[rows, band]
        # Stable, so that ranks ascend within a bucket.
        order = np.argsort(hashes, kind="stable")
        pairs, over, inside = bucket_pairs(hashes[order], ranks[order], limit)
        found = np.union1d(found, pairs)
        buckets += over
        members += inside
    both = np.stack([found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
    return both, Capped(buckets=buckets, members=members)
