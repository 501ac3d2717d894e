"""Pairs of documents that share a bucket, and who of a pair stays.

Guarantee: every pair is emitted once per bucket, lower rank first; who stays follows from ranks and edges alone.
Cost: linear in the pairs; 8 bytes each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

RANK_BITS = 32


@njit(nogil=True, cache=True)
def bucket_pairs(
    hashes: npt.NDArray[np.uint64], ranks: npt.NDArray[np.int64], limit: int
) -> tuple[npt.NDArray[np.uint64], int, int]:
    """Candidate pairs (lower rank << 32 | higher rank), how many buckets were over `limit`, and their members.

    hashes: uint64 sorted; ranks: int64, ascending within equal hashes. A bucket is a run of equal hashes. In one of up to
    `limit` documents all pairs are candidates. In a larger one each document is paired with the first, and with the
    limit // 2 that follow it: as many as it would have on average in the fullest bucket that is compared in full. Ranks
    that follow one another have similar lengths where the survivor policy looks at length, so likely copies are near.
    """
    pairs = np.empty(0, dtype=np.uint64)
    capped, members = 0, 0
    for fill in range(2):
        emitted = 0
        start = 0
        while start < len(hashes):
            stop = start + 1
            while stop < len(hashes) and hashes[stop] == hashes[start]:
                stop += 1
            over = stop - start > limit
            if over and fill:
                capped += 1
                members += stop - start
            for i in range(start, stop - 1):
                last = min(stop, i + 1 + limit // 2) if over and i > start else stop
                if fill:
                    for j in range(i + 1, last):
                        pairs[emitted + j - i - 1] = np.uint64(ranks[i]) << np.uint64(RANK_BITS) | np.uint64(ranks[j])
                emitted += last - i - 1
            start = stop
        if not fill:
            pairs = np.empty(emitted, dtype=np.uint64)
    return pairs, capped, members


@njit(nogil=True, cache=True)
def survivors(
    lower: npt.NDArray[np.int64],
    higher: npt.NDArray[np.int64],
    similarity: npt.NDArray[np.float64],
    kept_by: npt.NDArray[np.int64],
    at: npt.NDArray[np.float64],
) -> None:
    """Visit ranks in order; one is kept unless it has an edge to a kept one. Sets kept_by[rank] and at[rank].

    Edges lower[e] < higher[e], sorted by (higher, lower). kept_by must come in as 0, 1, 2, ...; a removed rank gets the
    kept neighbour that is most similar, of equals the first, and at[rank] their similarity.
    """
    for edge in range(len(higher)):
        keeper, rank = lower[edge], higher[edge]
        # Edges to `keeper` from below have all been seen: they sort before every edge with a higher `higher`.
        if kept_by[keeper] == keeper and (kept_by[rank] == rank or similarity[edge] > at[rank]):
            kept_by[rank] = keeper
            at[rank] = similarity[edge]
