"""Pairs of documents that share a bucket, and who of a pair stays.

A document is a rank: its place in survivor order, below 2^32. A pair is one integer, higher rank << 32 | lower rank: in
ascending order of pairs, all edges of a document to those before it stand together.
Guarantee: every pair is emitted once per bucket; who stays follows from ranks and edges alone.
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
    """out[row * width + band] = a key of the band's hash that differs from band to band, spread over all 64 bits.

    bands: uint64 [rows, width]. Of one band, different hashes have different keys.
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
    """Pairs of the documents from `at` on, as far as `out` has room: the first document left out, and how many pairs.

    Buckets stand end to end, place[i] is that of document i in its bucket, from 0; ranks ascend in a bucket. Each document
    is paired with the near[i] <= place[i] before it and with the first. `out` must have room for all pairs of one document.
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
    """Visit ranks in order; one is kept unless it has an edge to a kept one. Sets kept_by[rank] and at[rank].

    `pairs` are the edges, in ascending order, all at once or in several calls. kept_by must come in as 0, 1, 2, ...; a
    removed rank gets the kept neighbour that is most similar, of equals the first, and at[rank] their similarity.
    """
    for edge in range(len(pairs)):
        keeper, rank = np.int64(pairs[edge] & np.uint64(0xFFFFFFFF)), np.int64(pairs[edge] >> np.uint64(RANK_BITS))
        # Edges to `keeper` from below have all been seen: they stand before every edge of a higher rank.
        if kept_by[keeper] == keeper and (kept_by[rank] == rank or similarity[edge] > at[rank]):
            kept_by[rank] = keeper
            at[rank] = similarity[edge]
