"""Pairs of documents that share a bucket, and which document of a pair is kept.

A document is a rank: its place in survivor order, below 2^32. A pair is one integer, higher rank << 32 | lower rank. In
ascending order of pairs, all edges from a document to earlier ones therefore stand together.
Guarantee: every pair is emitted once per bucket; which documents are kept follows from ranks and edges alone.
Cost: linear in the pairs; 8 bytes each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.leaf import leaf

RANK_BITS = 32


@leaf
def band_keys(bands: npt.NDArray[np.uint64], out: npt.NDArray[np.uint64]) -> None:
    """out[row * width + band] = a key made of the hash and the band's number, spread over all 64 bits.

    `bands`: uint64 [rows, width]; `out`: uint64 [rows * width]. Within one band, different hashes have different keys.
    """
    width = bands.shape[1]
    for row in range(len(bands)):
        for band in range(width):
            out[row * width + band] = mix64(bands[row, band] ^ mix64(np.uint64(band + 1)))


@leaf
def bucket_pairs(
    place: npt.NDArray[np.int64],
    near: npt.NDArray[np.int64],
    ranks: npt.NDArray[np.uint32],
    at: int,
    out: npt.NDArray[np.uint64],
) -> tuple[int, int]:
    """Write the pairs of the documents from `at` on, as far as `out` has room.

    Buckets stand end to end: place[i] is the place of document i in its bucket, from 0, and ranks ascend within a bucket.
    Document i is paired with the near[i] <= place[i] documents just before it and with the first one of its bucket. `out` must
    have room for all pairs of one document. Returns the first document left out and the number of pairs written.
    """
    filled = 0
    while at < len(ranks) and filled + near[at] + 1 <= len(out):
        higher = np.uint64(ranks[at]) << np.uint64(RANK_BITS)
        if near[at] < place[at]:
            out[filled] = higher | np.uint64(ranks[at - place[at]])
            filled += 1
        for other in range(at - near[at], at):
            out[filled] = higher | np.uint64(ranks[other])
            filled += 1
        at += 1
    return at, filled


@leaf
def survivors(
    pairs: npt.NDArray[np.uint64],
    similarity: npt.NDArray[np.float64],
    kept_by: npt.NDArray[np.int64],
    at: npt.NDArray[np.float64],
) -> None:
    """Visit ranks in order and keep each one that has no edge to a kept one. Sets kept_by[rank] and at[rank].

    `pairs` are the edges in ascending order, given at once or over several calls, and `similarity` has one value for each.
    `kept_by` must start as 0, 1, 2, ...; for a removed rank it becomes the most similar kept neighbour (of equals the first),
    and at[rank] becomes their similarity.
    """
    for edge in range(len(pairs)):
        keeper, rank = np.int64(pairs[edge] & np.uint64(0xFFFFFFFF)), np.int64(pairs[edge] >> np.uint64(RANK_BITS))
        # All edges from `keeper` to lower ranks have been seen: they stand before every edge of a higher rank.
        if kept_by[keeper] == keeper and (kept_by[rank] == rank or similarity[edge] > at[rank]):
            kept_by[rank] = keeper
            at[rank] = similarity[edge]
