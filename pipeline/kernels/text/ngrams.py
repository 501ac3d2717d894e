"""n-grams of words or characters as 64-bit hashes: the sets whose Jaccard similarity is the truth about two texts.

Characters are the code points of the normalised text, single spaces among them. In scripts that are written without spaces
each character is a word already, so that n-grams of words serve them too; where no space stands, both kinds are the same.
Guarantee: the hash of an n-gram depends on its words or characters and their order alone. Two different n-grams share a
hash with odds of 2^-64, so a comparison of two sets of m n-grams in all is off by one element with odds of about m^2 / 2^65:
for two texts of 100,000 words each, one in a billion.
Cost: two multiplications per word or character, two more to hash a character; a set costs one sort, an intersection one merge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, mix64
from tokenmill.pipeline.kernels.text.normalise import GROWTH, normalise
from tokenmill.pipeline.kernels.text.unicode import Tables

BASE = 0x9E3779B97F4A7C15
"""An odd number, so that no word's hash loses bits in the polynomial."""


@njit(nogil=True, cache=True)
def ngram_hashes(units: npt.NDArray[np.uint64], count: int, n: int, out: npt.NDArray[np.uint64]) -> int:
    """out[i] = hash of the units i .. i + n - 1, words or characters; returns how many there are: max(0, count - n + 1).

    In place is fine. A rolling polynomial over the units' hashes modulo 2^64 (R. M. Karp, M. O. Rabin 1987), then mixed.
    """
    base = np.uint64(BASE)
    leading = np.uint64(1)
    for _ in range(n - 1):
        leading *= base
    rolling = np.uint64(0)
    for i in range(count):
        rolling = rolling * base + units[i]
        if i >= n - 1:
            first = units[i - n + 1]
            out[i - n + 1] = mix64(rolling)
            rolling -= leading * first
    return max(0, count - n + 1)


@njit(nogil=True, cache=True)
def character_hashes(text: npt.NDArray[np.uint8], size: int, out: npt.NDArray[np.uint64]) -> int:
    """out[i] = hash of the i-th character of the UTF-8 `text[:size]`, as of a word of it alone; returns how many there are."""
    count, shift, value = 0, np.uint64(0), np.uint64(0)
    for at in range(size):
        byte = np.uint64(text[at])
        if at and byte & np.uint64(0xC0) != np.uint64(0x80):
            out[count] = mix64(value)
            count, shift, value = count + 1, np.uint64(0), np.uint64(0)
        value |= byte << shift
        shift += np.uint64(8)
    if size:
        out[count] = mix64(value)
        count += 1
    return count


@njit(nogil=True, cache=True)
def most_units(size_bytes: int, characters: bool) -> int:
    """The most words, or characters, that a document of so many bytes has once normalised: room for `unit_hashes`.

    A word takes two bytes with its space, or three where scripts have no spaces; no byte becomes more than one character.
    """
    return size_bytes if characters else size_bytes // 2 + 1


@njit(nogil=True, cache=True)
def unit_hashes(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    tables: Tables,
    characters: bool,
    text: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint64],
) -> tuple[int, int]:
    """As `normalise`, with the hashes of the words or of the `characters` in `out`."""
    size, count = normalise(data, start, stop, tables, text, out)
    if characters:
        count = character_hashes(text, size, out)
    return size, count


@njit(nogil=True, cache=True)
def ngram_sets(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    characters: bool,
    n: int,
    tables: Tables,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The sets of n-grams, of words or of `characters`, of the documents in `rows`.

    Sorted hashes end to end, and where each document's begin [rows + 1].
    """
    most, total = 0, 0
    for row in rows:
        size = offsets[row + 1] - offsets[row]
        most = max(most, size)
        total += most_units(size, characters)
    text = np.empty(GROWTH * most + PADDING_BYTES, dtype=np.uint8)
    hashes = np.empty(most_units(most, characters), dtype=np.uint64)
    found = np.empty(total, dtype=np.uint64)
    bounds = np.zeros(len(rows) + 1, dtype=np.int64)
    filled = 0
    for at, row in enumerate(rows):
        _, count = unit_hashes(data, offsets[row], offsets[row + 1], tables, characters, text, hashes)
        count = ngram_hashes(hashes, count, n, hashes)
        grams = np.sort(hashes[:count])
        for i in range(count):
            if i == 0 or grams[i] != grams[i - 1]:
                found[filled] = grams[i]
                filled += 1
        bounds[at + 1] = filled
    return found[:filled], bounds


@njit(nogil=True, cache=True)
def shared(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> int:
    """How many elements two sorted sets share: one merge without branches that a processor could guess wrong."""
    i, j, count = 0, 0, 0
    while i < len(a) and j < len(b):
        x, y = a[i], b[j]
        count += x == y
        i += x <= y
        j += y <= x
    return count


@njit(nogil=True, cache=True)
def jaccard(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> float:
    """The Jaccard similarity of two sorted sets, 0 where both are empty: texts without n-grams are not compared by them.

    The quotient of two integers, rounded once, so 4 of 5 is exactly the float 0.8.
    """
    common = shared(a, b)
    united = len(a) + len(b) - common
    return common / united if united else 0.0


@njit(nogil=True, cache=True)
def similarities(
    a: npt.NDArray[np.uint64],
    b: npt.NDArray[np.uint64],
    spans_a: npt.NDArray[np.int64],
    spans_b: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """The similarity of each pair of sets a[spans_a[p, 0]:spans_a[p, 1]] and b[spans_b[p, 0]:spans_b[p, 1]]. float64 [pairs]"""
    out = np.empty(len(spans_a), dtype=np.float64)
    for pair in range(len(spans_a)):
        out[pair] = jaccard(a[spans_a[pair, 0] : spans_a[pair, 1]], b[spans_b[pair, 0] : spans_b[pair, 1]])
    return out
