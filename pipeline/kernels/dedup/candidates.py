"""Pairs of documents that share a bucket, and which document of a pair is kept.

A document is a rank: its place in survivor order, below 2^63. A pair is two ranks, the higher and the lower one. Pairs in
ascending order of the higher, then of the lower rank, have all edges from a document to earlier ones together.
Guarantee: every pair is emitted once per bucket; which documents are kept follows from ranks and edges alone.
Cost: linear in the pairs; 16 bytes each, and one bit for each rank.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import mix64
from tokenmill.pipeline.kernels.leaf import leaf


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
    first: npt.NDArray[np.uint64],
    ranks: npt.NDArray[np.uint64],
    at: int,
    higher: npt.NDArray[np.uint64],
    lower: npt.NDArray[np.uint64],
) -> tuple[int, int]:
    """Write the pairs of the documents from `at` on to `higher` and `lower`, as far as both have room.

    Buckets stand end to end: place[i] is the place of document i in its bucket, from 0, first[i] is the first document there,
    and ranks ascend within a bucket. Document i is paired with the near[i] <= place[i] documents just before it and with the
    first one of its bucket. There must be room for all pairs of one document. Returns the first document left out and the
    number of pairs written.
    """
    filled = 0
    while at < len(ranks) and filled + near[at] + 1 <= len(higher):
        if near[at] < place[at]:
            higher[filled] = ranks[at]
            lower[filled] = first[at]
            filled += 1
        for other in range(at - near[at], at):
            higher[filled] = ranks[at]
            lower[filled] = ranks[other]
            filled += 1
        at += 1
    return at, filled


@leaf
def survivors(
    higher: npt.NDArray[np.uint64],
    lower: npt.NDArray[np.uint64],
    similarity: npt.NDArray[np.float64],
    removed: npt.NDArray[np.uint8],
    out: npt.NDArray[np.int64],
) -> int:
    """Visit ranks in order and remove each one that has an edge to a kept one.

    The edges come in ascending order of (higher, lower), at once or over several calls; those of one higher rank in one call.
    `removed` has a bit for each rank, rank & 7 of byte rank >> 3: 0 at first, then 1 for a removed rank. `out` gets, for each
    rank that is removed, the edge to its most similar kept neighbour (of equals the first). Returns how many there are.
    """
    filled = 0
    for edge in range(len(higher)):
        # All edges from `lower` to ranks below it have been seen: they stand before every edge of a higher rank.
        if removed[np.int64(lower[edge] >> np.uint64(3))] >> (lower[edge] & np.uint64(7)) & np.uint64(1):
            continue
        if filled and higher[out[filled - 1]] == higher[edge]:
            if similarity[edge] > similarity[out[filled - 1]]:
                out[filled - 1] = edge
        else:
            removed[np.int64(higher[edge] >> np.uint64(3))] |= np.uint8(1) << np.uint8(higher[edge] & np.uint64(7))
            out[filled] = edge
            filled += 1
    return filled
