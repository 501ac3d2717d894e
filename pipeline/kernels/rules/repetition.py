"""Repetition in one text: lines and paragraphs that occurred before, the most frequent n-gram, n-grams that occurred before.

Guarantee: lines and paragraphs are compared exactly: if hashes agree, bytes are compared. The most frequent n-gram is found by
64-bit hashes (see `ngrams`), duplicate n-grams by 61-bit fingerprints. With m n-grams, one is mistaken for another with
probability of about m^2 / 2^65 and m^2 / 2^62; for 100,000 words, 3 in 10 billion and 2 in a billion.
Cost: linear in the text; 3 to 5 ns per word and n in the cache. Nothing is allocated.

Source of the statistics: Rae et al. 2021 (arXiv 2112.11446), table A1; see `tokenmill.pipeline.stages.quality.statistics`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.hashing import load, mix64
from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.rules.fingerprints import fingerprint, joined, without
from tokenmill.pipeline.kernels.rules.slots import Slots, begin, first_with, following, place
from tokenmill.pipeline.kernels.text import masks
from tokenmill.pipeline.kernels.text.spaces import characters

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

NEWLINE = 0x0A


@leaf
def parts(data: Bytes, start: int, stop: int, newlines: int, starts: Places, ends: Places) -> int:
    """Split at runs of at least `newlines` newlines; returns the number of parts, including empty ones at either end.

    `data` is read up to `masks.BLOCK` bytes behind `stop`.
    """
    count = 0
    begun, run, behind = start, start, start
    for block in range(start, stop, masks.BLOCK):
        found = masks.between(data, np.uint64(block), NEWLINE, NEWLINE) & masks.first(stop - block)
        while found:
            at = block + masks.place(found)
            found &= found - np.uint64(1)
            if at != behind:
                if behind - run >= newlines:
                    starts[count], ends[count] = begun, run
                    count += 1
                    begun = behind
                run = at
            behind = at + 1
    if behind - run >= newlines:
        starts[count], ends[count] = begun, run
        count += 1
        begun = behind
    starts[count], ends[count] = begun, stop
    return count + 1


@leaf
def _same(data: Bytes, a: int, b: int, size: int) -> bool:
    while size > 0 and (load(data, np.uint64(a)) ^ load(data, np.uint64(b))) & masks.first(8 * size) == 0:
        a, b, size = a + 8, b + 8, size - 8
    return size <= 0


@inlined
def _stirred(state: np.uint64) -> np.uint64:
    state *= np.uint64(0xD6E8FEB86659FD93)
    return state ^ state >> np.uint64(32)


@leaf
def _key(data: Bytes, start: int, stop: int) -> np.uint64:
    """A hash of a string, used in this table only: 16 bytes at a time, in two halves that do not wait for each other."""
    at, rest = np.uint64(start), stop - start
    front, back = np.uint64(rest), ~np.uint64(rest)
    while rest > 0:
        front = _stirred(front ^ load(data, at) & masks.first(8 * rest))
        back = _stirred(back ^ load(data, at + np.uint64(8)) & masks.first(8 * max(rest - 8, 0)))
        at += np.uint64(16)
        rest -= 16
    return mix64(front) ^ back


@leaf
def repeated(data: Bytes, starts: Places, ends: Places, count: int, keys: Hashes, slots: Slots) -> tuple[int, int]:
    """The number of strings, among `count`, that occurred before, and the characters in them.

    `data` is read up to 16 bytes behind a string. `keys` is scratch for `count` hashes.
    """
    first, shift = begin(slots, count)
    before, letters = 0, 0
    for item in range(count):
        size = ends[item] - starts[item]
        key = _key(data, starts[item], ends[item])
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
    """The first occurrence of the most frequent of `count` keys, and how often it occurs; (0, 0) without keys.

    If several keys are equally frequent, the one that occurs first wins. `counts` is scratch for `count` numbers.
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
    """fingerprints[i] and places[i] = the fingerprint and the size in bytes of the first i words joined; [count + 1] each."""
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
    """The characters in n-grams of `count` words that occurred before, counted from the left and without overlap.

    After an n-gram that is counted, the next one begins behind it. `fingerprints` and `places` come from `fingerprint_words`;
    letters[i] is the number of characters of word i; `keys` is scratch.
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
