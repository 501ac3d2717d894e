"""MinHash signatures cut into bands: documents that share a band are candidates for being alike.

The family: h(x) = a * x + b modulo 2^32 with a odd, a permutation of the 32-bit integers, over x = the upper half of an
n-gram's mixed 64-bit hash. It is datasketch 2.0's `affine32` (linear permutations: T. Bohman, C. Cooper, A. Frieze,
"Min-wise independent linear permutations", 2000), it is 2-universal and not exactly min-wise independent, so estimates
are checked against true similarities. With 14 bands of 8 rows, a pair of similarity s shares a band with probability
1 - (1 - s^8)^14: 0.57 at 0.7, 0.92 at 0.8.
Guarantee: the same text, seed and Unicode version give the same bands; equal sets give equal bands.
Cost: one pass; 112 multiply-adds per word in vector registers over one contiguous row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline.kernels.hashing import PADDING_BYTES, mix64, siphash128
from pipeline.kernels.ngrams import ngram_hashes
from pipeline.kernels.normalise import GROWTH, longest, normalise
from pipeline.kernels.unicode import Tables


def permutations(seed: int, count: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Multipliers (odd) and increments of `count` permutations, each uint32 [count], derived from `seed` by PCG64."""
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, 2**32, size=(2, count), dtype=np.uint32)
    return drawn[0] | np.uint32(1), drawn[1]


@njit(nogil=True, cache=True)
def minima(
    grams: npt.NDArray[np.uint64],
    count: int,
    multipliers: npt.NDArray[np.uint32],
    increments: npt.NDArray[np.uint32],
    out: npt.NDArray[np.uint32],
) -> None:
    """out[k] = min over grams[:count] of permutation k; the largest integer where there are none."""
    out[:] = np.uint32(0xFFFFFFFF)
    for i in range(count):
        x = np.uint32(grams[i] >> np.uint64(32))
        for k in range(len(out)):
            out[k] = min(out[k], np.uint32(np.uint32(multipliers[k] * x) + increments[k]))


@njit(nogil=True, cache=True)
def band_hashes(signature: npt.NDArray[np.uint32], out: npt.NDArray[np.uint64]) -> None:
    """out[band] = 64-bit hash of the band's rows; `signature` is cut into len(out) bands of equal length."""
    rows = len(signature) // len(out)
    for band in range(len(out)):
        state = np.uint64(rows)
        for row in range(rows):
            state = mix64(state ^ np.uint64(signature[band * rows + row])) + np.uint64(row + 1)
        out[band] = state


@njit(nogil=True, cache=True)
def sign(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    tables: Tables,
    key: npt.NDArray[np.uint64],
    multipliers: npt.NDArray[np.uint32],
    increments: npt.NDArray[np.uint32],
    n: int,
    exact: npt.NDArray[np.uint64],
    words: npt.NDArray[np.int32],
    bands: npt.NDArray[np.uint64],
) -> None:
    """Sign every document of a text column.

    exact: uint64 [docs, 2], the 128-bit hash of the normalised text; words: int32 [docs]; bands: uint64 [docs, bands],
    untouched for a document of fewer than n words.
    """
    most = longest(offsets)
    text = np.empty(GROWTH * most + PADDING_BYTES, dtype=np.uint8)
    hashes = np.empty(most // 2 + 1, dtype=np.uint64)
    signature = np.empty(len(multipliers), dtype=np.uint32)
    for row in range(len(offsets) - 1):
        size, count = normalise(data, offsets[row], offsets[row + 1], tables, text, hashes)
        siphash128(text, size, key, exact[row])
        words[row] = count
        if count >= n:
            count = ngram_hashes(hashes, count, n, hashes)
            minima(hashes, count, multipliers, increments, signature)
            band_hashes(signature, bands[row])
