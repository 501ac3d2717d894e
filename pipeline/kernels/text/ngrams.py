"""n-grams of words or characters as 64-bit hashes, and the Jaccard similarity of their sets.

Purpose: the Jaccard similarity of two n-gram sets is the true similarity of two texts, which MinHash estimates. Characters
are the code points of the normalised text, single spaces included. In scripts written without spaces each character is
already a word, so word n-grams serve them too: in such a text without a space, word and character n-grams are the same.
Guarantee: the hash of an n-gram depends only on its words or characters and their order. Two different n-grams share a hash
with probability 2^-64, so a comparison of two sets with m n-grams in total is off by one element with probability of about
m^2 / 2^65: one in a billion for two texts of 100,000 words each.
Cost: two multiplications per word or character, two more to hash a character; a set costs one sort, an intersection one merge.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, mix64
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.normalise import GROWTH, normalise
from tokenmill.pipeline.kernels.text.unicode import NormalisationTable

BASE = 0x9E3779B97F4A7C15
"""An odd number, so that no word's hash loses bits when the polynomial multiplies it."""


@njit(nogil=True, cache=True)
def ngram_hashes(units: npt.NDArray[np.uint64], count: int, n: int, out: npt.NDArray[np.uint64]) -> int:
    """out[i] = hash of the units (words or characters) i .. i + n - 1. Returns their number, max(0, count - n + 1).

    `out` may be `units` itself. The hash is a rolling polynomial over the units' hashes modulo 2^64 (R. M. Karp, M. O. Rabin
    1987), which is then mixed.
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
    """out[i] = hash of the i-th character of the UTF-8 `text[:size]`, equal to that of a one-character word.

    Returns the number of characters.
    """
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
    """The most words, or characters, that a document of `size_bytes` can have after normalisation: room for `unit_hashes`.

    No byte becomes more than one word. Two bytes become at most three characters: a letter with two marks, decomposed.
    """
    return 2 * size_bytes if characters else size_bytes


@njit(nogil=True, cache=True)
def unit_hashes(
    data: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    tables: NormalisationTable,
    characters: bool,
    text: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint64],
) -> tuple[int, int]:
    """Normalise like `normalise`, and write the hashes of the words, or of the `characters`, to `out`.

    Returns the number of bytes written to `text` and the number of hashes written to `out`.
    """
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
    tables: NormalisationTable,
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The sets of word n-grams, or of `characters` n-grams, of the documents in `rows`.

    Returns the sets end to end, each as sorted distinct hashes, uint64, and where each document's set begins, int64 [rows + 1].
    """
    most, total = 0, 0
    for row in rows:
        size = offsets[row + 1] - offsets[row]
        most = max(most, size)
        # Memory that is never written is never taken from the system.
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
    """The number of elements that two sorted sets share: one merge without branches that a processor could mispredict."""
    i, j, count = 0, 0, 0
    while i < len(a) and j < len(b):
        x, y = a[i], b[j]
        count += x == y
        i += x <= y
        j += y <= x
    return count


@njit(nogil=True, cache=True)
def jaccard(a: npt.NDArray[np.uint64], b: npt.NDArray[np.uint64]) -> float:
    """The Jaccard similarity of two sorted sets; 0 if both are empty, since texts without n-grams cannot be compared by them.

    The result is the quotient of two integers, rounded once, so 4 of 5 is exactly the float 0.8.
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
    """The Jaccard similarity of a[spans_a[p, 0]:spans_a[p, 1]] and b[spans_b[p, 0]:spans_b[p, 1]], float64 [pairs]."""
    out = np.empty(len(spans_a), dtype=np.float64)
    for pair in range(len(spans_a)):
        out[pair] = jaccard(a[spans_a[pair, 0] : spans_a[pair, 1]], b[spans_b[pair, 0] : spans_b[pair, 1]])
    return out
