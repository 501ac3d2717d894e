"""Repetition in one text: lines and paragraphs that occurred before, the most frequent n-gram, n-grams that occurred before.

Guarantee: of lines and paragraphs exact: where hashes agree, bytes are compared. The most frequent n-gram goes by hashes of
64 bits (see `ngrams`), duplicate n-grams by fingerprints of 61 bits: with m n-grams, one is taken for another with odds of
about m^2 / 2^65 and m^2 / 2^62; for 100,000 words, 3 in 10 billion and 2 in a billion.
Cost: linear in the text; 3 to 5 ns per word and n in the cache. Nothing is allocated.

Source of the statistics: Rae et al. 2021 (arXiv 2112.11446), table A1; see `pipeline.quality.statistics`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.kernels.fingerprints import fingerprint, joined, without
from pipeline.kernels.hashing import hash_word
from pipeline.kernels.leaf import leaf
from pipeline.kernels.slots import Slots, begin, first_with, following, place
from pipeline.kernels.spaces import characters, find

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

NEWLINE = 0x0A


@leaf
def parts(data: Bytes, start: int, stop: int, newlines: int, starts: Places, ends: Places) -> int:
    """Split at runs of at least `newlines` newlines; returns how many parts there are, empty ones at the ends too."""
    count = 0
    begun = at = start
    while at < stop:
        run = at = find(data, at, stop, NEWLINE)
        while at < stop and data[at] == NEWLINE:
            at += 1
        if at - run >= newlines:
            starts[count], ends[count] = begun, run
            count += 1
            begun = at
    starts[count], ends[count] = begun, stop
    return count + 1


@leaf
def _same(data: Bytes, a: int, b: int, size: int) -> bool:
    i = 0
    while i < size and data[a + i] == data[b + i]:
        i += 1
    return i == size


@leaf
def repeated(data: Bytes, starts: Places, ends: Places, count: int, keys: Hashes, slots: Slots) -> tuple[int, int]:
    """How many of `count` strings occurred before among them, and how many characters those have.

    `data` is hashed 8 bytes at a time: see `hashing.PADDING_BYTES`. `keys` is scratch for `count` hashes.
    """
    first, shift = begin(slots, count)
    before, letters = 0, 0
    for item in range(count):
        size = ends[item] - starts[item]
        key = hash_word(data, starts[item], ends[item])
        keys[item] = key
        at = place(key, shift)
        while True:
            found = slots.items[at] - first
            if found < 0:
                slots.items[at] = first + item
                break
            same = keys[found] == key and ends[found] - starts[found] == size
            if same and _same(data, starts[found], starts[item], size):
                before += 1
                letters += characters(data, starts[item], ends[item])
                break
            at = following(at, shift)
    return before, letters


@leaf
def most_frequent(keys: Hashes, count: int, counts: npt.NDArray[np.int32], slots: Slots) -> tuple[int, int]:
    """The first occurrence of the most frequent of `count` keys, of several the first one, and how often it occurs.

    `counts` is scratch for `count` numbers. Without keys: (0, 0).
    """
    first, shift = begin(slots, count)
    best, most = 0, 0
    for item in range(count):
        found = first_with(slots, first, shift, keys, item)
        often = 1 if found == item else counts[found] + 1
        counts[found] = often
        if often > most or (often == most and found < best):
            best, most = found, often
    return best, most


@leaf
def fingerprint_words(
    data: Bytes, starts: Places, ends: Places, count: int, powers: Hashes, fingerprints: Hashes, places: Places
) -> None:
    """fingerprints[i], places[i]: of the first i words, joined: their fingerprint and their bytes. [count + 1]"""
    whole, place_bytes = np.uint64(0), 0
    fingerprints[0], places[0] = whole, place_bytes
    for word in range(count):
        size = ends[word] - starts[word]
        whole = joined(whole, fingerprint(data, starts[word], ends[word], powers), size, powers)
        place_bytes += size
        fingerprints[word + 1], places[word + 1] = whole, place_bytes


@leaf
def duplicate_characters(
    n: int,
    count: int,
    fingerprints: Hashes,
    places: Places,
    letters: npt.NDArray[np.int32],
    powers: Hashes,
    keys: Hashes,
    slots: Slots,
) -> int:
    """Characters of n-grams of `count` words that occurred before, counted from the left and without overlap.

    After an n-gram that is counted, the next begins behind it. `fingerprints` and `places` are of `fingerprint_words`;
    letters[i]: the characters of word i; `keys` is scratch.
    """
    last = count - n
    if last < 0:
        return 0
    first, shift = begin(slots, last + 1)
    total, item = 0, 0
    while item <= last:
        keys[item] = without(fingerprints[item + n], fingerprints[item], places[item + n] - places[item], powers)
        if first_with(slots, first, shift, keys, item) == item:
            item += 1
        else:
            for word in range(item, item + n):
                total += letters[word]
            item += n
    return total
