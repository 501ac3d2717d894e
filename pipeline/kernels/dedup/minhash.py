"""MinHash signatures cut into bands: documents that share a band are candidate duplicates.

The hash family is h(x) = a * x + b modulo 2^32 with odd a, a permutation of the 32-bit integers, where x is the upper half of
an n-gram's mixed 64-bit hash. It is datasketch 2.0's `affine32` (linear permutations: T. Bohman, C. Cooper, A. Frieze,
"Min-wise independent linear permutations", 2000). It is 2-universal but not exactly min-wise independent, so estimates are
checked against true similarities. With 16 bands of 7 rows, a pair of similarity s shares a band with probability
1 - (1 - s^7)^16: 0.75 at 0.7, 0.98 at 0.8.
Guarantee: the same text, seed and Unicode version give the same bands; equal sets of n-grams give equal bands.
Cost: one pass; one multiply-add per n-gram and permutation, in vector registers over one contiguous row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, mix64
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.ngrams import most_units, ngram_hashes, unit_hashes
from tokenmill.pipeline.kernels.text.normalise import GROWTH, longest
from tokenmill.pipeline.kernels.text.unicode import NormalisationTable


def permutations(seed: int, count: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Multipliers (odd) and increments of `count` permutations, each uint32 [count], derived from `seed` by PCG64."""
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(0, 2**32, size=(2, count), dtype=np.uint32)
    return drawn[0] | np.uint32(1), drawn[1]


@njit(nogil=True, cache=True, inline="always")
def _upper(gram: np.uint64) -> np.uint32:
    return np.uint32(gram >> np.uint64(32))


@njit(nogil=True, cache=True, inline="always")
def _permuted(x: np.uint32, multiplier: np.uint32, increment: np.uint32) -> np.uint32:
    return np.uint32(np.uint32(multiplier * x) + increment)


@njit(nogil=True, cache=True)
def minima(
    grams: npt.NDArray[np.uint64],
    count: int,
    multipliers: npt.NDArray[np.uint32],
    increments: npt.NDArray[np.uint32],
    out: npt.NDArray[np.uint32],
) -> None:
    """out[k] = the minimum of permutation k over grams[:count]; 2^32 - 1 if `count` is 0."""
    out[:] = np.uint32(0xFFFFFFFF)
    last = count - 1
    # Four n-grams at a time, so that each permutation is loaded and each minimum stored once for four (measured: 3 to 4 times
    # as fast). If fewer than four are left, the last one is repeated, which changes no minimum.
    for i in range(0, count, 4):
        x, y = _upper(grams[i]), _upper(grams[min(i + 1, last)])
        z, w = _upper(grams[min(i + 2, last)]), _upper(grams[min(i + 3, last)])
        for k in range(len(out)):
            a, b = multipliers[k], increments[k]
            first = min(_permuted(x, a, b), _permuted(y, a, b))
            out[k] = min(out[k], min(first, min(_permuted(z, a, b), _permuted(w, a, b))))


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
    tables: NormalisationTable,
    multipliers: npt.NDArray[np.uint32],
    increments: npt.NDArray[np.uint32],
    characters: bool,
    n: int,
    units: npt.NDArray[np.int32],
    bands: npt.NDArray[np.uint64],
) -> None:
    """Sign every document of a text column.

    Writes `units`, int32 [docs]: the number of words, or of `characters`, of the normalised text; `bands`, uint64 [docs,
    bands]: untouched for a document of fewer than `n` units.
    """
    most = longest(offsets)
    text = np.empty(GROWTH * most + PADDING_BYTES, dtype=np.uint8)
    hashes = np.empty(most_units(most, characters), dtype=np.uint64)
    signature = np.empty(len(multipliers), dtype=np.uint32)
    for row in range(len(offsets) - 1):
        _, count = unit_hashes(data, offsets[row], offsets[row + 1], tables, characters, text, hashes)
        units[row] = count
        if count >= n:
            count = ngram_hashes(hashes, count, n, hashes)
            minima(hashes, count, multipliers, increments, signature)
            band_hashes(signature, bands[row])
