"""Passages of documents in which most of an item's text stands.

Every word of an item's text has a weight: small if it stands only in n-grams that many items have. A word is covered by a
passage if one of the n-grams around it stands there. The share of a text in a passage is the weight of its covered words by the
weight of all its words. A passage has at most `STRETCH` times the words of the text, and two n-grams more.
Guarantee: of one text, the passage with the greatest share is found first (of equals the one that ends first, cut to what it
needs), then those before and behind it. All numbers are integers but the share itself, which is one quotient.
Cost: a look-up per word and length of n-gram, 1 to 2 ns each where the filter fits in the cache; for n-grams that are found,
a sort of their places in the document.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.decontamination.words import read
from tokenmill.pipeline.kernels.hashing import PADDING_BYTES, mix64
from tokenmill.pipeline.kernels.machine_code import njit
from tokenmill.pipeline.kernels.text.ngrams import BASE
from tokenmill.pipeline.kernels.text.normalise import GROWTH, longest
from tokenmill.pipeline.kernels.text.unicode import NormalisationTable

STRETCH = 1.5
FIRST_ROOM = 1024

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]


class Lookup(NamedTuple):
    """The n-grams of all texts of items, as kernels look them up. A named tuple, because compiled code can unpack one."""

    filter: Hashes
    """uint64 [a power of 2]: two bits of the word that the upper bits of a hash name are set for each n-gram."""
    buckets: Numbers
    """int32 [a power of 2, and 1]: where the hashes with these upper bits begin."""
    hashes: Hashes
    """uint64 [n-grams], ascending and distinct."""
    firsts: Numbers
    """int32 [n-grams + 1]: where the places of each n-gram begin in `texts` and `positions`."""
    texts: Numbers
    """int32 [places]: the text."""
    positions: Numbers
    """int32 [places]: the word of the text at which the n-gram begins."""
    bounds: Places
    """int64 [texts + 1]: where the words of each text begin in `weights`."""
    weights: Numbers
    """int32 [words of all texts]."""
    totals: Places
    """int64 [texts]: the sums of their words' weights."""
    lengths: Places
    """int64: the lengths of n-grams that there are."""


@njit(nogil=True, cache=True)
def _shift(entries: int) -> np.uint64:
    """How far a hash is shifted to index so many entries, a power of 2 and at least 2."""
    bits = 0
    while (1 << bits) < entries:
        bits += 1
    return np.uint64(64 - bits)


@njit(nogil=True, cache=True)
def fill(hashes: Hashes, filter: Hashes) -> None:
    """Set the bits of a filter for these hashes."""
    shift = _shift(len(filter))
    for gram in hashes:
        bits = np.uint64(1) << (gram & np.uint64(63)) | np.uint64(1) << (gram >> np.uint64(6) & np.uint64(63))
        filter[np.int64(gram >> shift)] |= bits


@njit(nogil=True, cache=True)
def _cover(sign: int, at: int, length: int, first: int, weights: Numbers, covered: Numbers) -> int:
    """Add an n-gram that begins at word `at` of a text to `covered`, or take it away. Returns the weight that this adds."""
    change = 0
    for word in range(at, at + length):
        if sign > 0:
            change += weights[first + word] if covered[word] == 0 else 0
            covered[word] += 1
        else:
            covered[word] -= 1
            change -= weights[first + word] if covered[word] == 0 else 0
    return change


@njit(nogil=True, cache=True)
def _best(
    places: Places, positions: Numbers, lo: int, hi: int, length: int, most: int, first: int, weights: Numbers, covered: Numbers
) -> tuple[int, int, int]:
    """The part [i, j) of the matches [lo, hi) of one text with the greatest weight within `most` words, and that weight."""
    begin, weight = lo, 0
    best, best_begin, best_end = 0, lo, lo
    for end in range(lo, hi):
        weight += _cover(1, positions[end], length, first, weights, covered)
        while places[end] + length - places[begin] > most:
            weight += _cover(-1, positions[begin], length, first, weights, covered)
            begin += 1
        if weight > best:
            best, best_begin, best_end = weight, begin, end + 1
    for at in range(begin, hi):
        _cover(-1, positions[at], length, first, weights, covered)
    # What stands before the first n-gram that is needed is no part of the passage.
    for at in range(best_begin, best_end):
        _cover(1, positions[at], length, first, weights, covered)
    begin = best_begin
    while begin + 1 < best_end:
        if _cover(-1, positions[begin], length, first, weights, covered):
            _cover(1, positions[begin], length, first, weights, covered)
            break
        begin += 1
    for at in range(begin, best_end):
        _cover(-1, positions[at], length, first, weights, covered)
    return begin, best_end, best


@njit(nogil=True, cache=True)
def _is_space(byte: int) -> bool:
    return byte == 0x20 or 9 <= byte <= 13


@njit(nogil=True, cache=True)
def widened(data: Bytes, low: int, start: int, end: int, high: int) -> tuple[int, int]:
    """The passage [start, end) with what touches it, between the words that end at `low` and begin at `high`.

    If it has a line, or the beginning or the end of one, for itself, that is what surrounds it there: quotation marks, bullets,
    and behind a whole line the white space that follows. Else it is the punctuation up to the next white space; what stands
    before the passage without white space between ends another sentence, and stays.
    """
    first = start
    while first > low and data[first - 1] != 0x0A:
        first -= 1
    begins = first == 0 or data[first - 1] == 0x0A
    if not begins:
        first = start
        while first > low and not _is_space(data[first - 1]):
            first -= 1
    if begins or first > low:
        start = first
    last = end
    while last < high and data[last] != 0x0A:
        last += 1
    closes = last == len(data) or (last < high and data[last] == 0x0A)
    if not closes:
        last = end
        while last < high and not _is_space(data[last]):
            last += 1
    if begins and closes:
        while last < high and _is_space(data[last]):
            last += 1
    return start, last


@njit(nogil=True, cache=True)
def find(
    data: Bytes, offsets: Places, tables: NormalisationTable, lookup: Lookup, n: int, least: float
) -> tuple[Places, Places, Places, Places, npt.NDArray[np.float64]]:
    """The passages with at least the share `least` (above 0) of a text, in documents of a text column.

    Returns, for each: the row, the text, its bytes [start, end) in the document, and the share.
    """
    grams, filter, buckets = lookup.hashes, lookup.filter, lookup.buckets
    filter_shift, bucket_shift = _shift(len(filter)), _shift(len(buckets) - 1)
    most = longest(offsets)
    text = np.empty(GROWTH * most + PADDING_BYTES, dtype=np.uint8)
    words = np.empty(most, dtype=np.uint64)
    starts, ends = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
    covered = np.zeros(np.max(np.diff(lookup.bounds)) if len(lookup.totals) else 0, dtype=np.int32)
    keys, ats = np.empty(FIRST_ROOM, dtype=np.int64), np.empty(FIRST_ROOM, dtype=np.int32)
    found = np.empty((FIRST_ROOM, 4), dtype=np.int64)
    shares = np.empty(FIRST_ROOM, dtype=np.float64)
    stack = np.empty((FIRST_ROOM, 2), dtype=np.int64)
    filled = 0
    for row in range(len(offsets) - 1):
        count, _ = read(data, offsets[row], offsets[row + 1], tables, text, words, starts, ends)
        matches = 0
        for length in lookup.lengths:
            leading = np.uint64(1)
            for _ in range(length - 1):
                leading *= np.uint64(BASE)
            rolling = np.uint64(0)
            for last in range(count):
                rolling = rolling * np.uint64(BASE) + words[last]
                if last < length - 1:
                    continue
                gram = mix64(rolling)
                rolling -= leading * words[last - length + 1]
                bits = filter[np.int64(gram >> filter_shift)]
                if not (bits >> (gram & np.uint64(63))) & (bits >> (gram >> np.uint64(6) & np.uint64(63))) & np.uint64(1):
                    continue
                bucket = np.int64(gram >> bucket_shift)
                for at in range(buckets[bucket], buckets[bucket + 1]):
                    if grams[at] != gram:
                        continue
                    for place in range(lookup.firsts[at], lookup.firsts[at + 1]):
                        if matches == len(keys):
                            keys = np.concatenate((keys, np.empty_like(keys)))
                            ats = np.concatenate((ats, np.empty_like(ats)))
                        keys[matches] = np.int64(lookup.texts[place]) << 32 | (last - length + 1)
                        ats[matches] = lookup.positions[place]
                        matches += 1
        if matches == 0:
            continue
        order = np.argsort(keys[:matches], kind="mergesort")
        places, positions = keys[order] & 0xFFFFFFFF, ats[order]
        texts = keys[order] >> 32
        begin = 0
        while begin < matches:
            number = texts[begin]
            end = begin
            while end < matches and texts[end] == number:
                end += 1
            first, size = lookup.bounds[number], lookup.bounds[number + 1] - lookup.bounds[number]
            length, total = min(n, size), lookup.totals[number]
            waiting = 1
            stack[0, 0], stack[0, 1] = begin, end
            begin = end
            while waiting:
                waiting -= 1
                lo, hi = stack[waiting, 0], stack[waiting, 1]
                # The weight of all matches, wherever they stand, is an upper bound.
                weight = 0
                for at in range(lo, hi):
                    weight += _cover(1, positions[at], length, first, lookup.weights, covered)
                for at in range(lo, hi):
                    _cover(-1, positions[at], length, first, lookup.weights, covered)
                if weight < least * total:
                    continue
                widest = int(STRETCH * size) + 2 * n
                i, j, weight = _best(places, positions, lo, hi, length, widest, first, lookup.weights, covered)
                if weight < least * total:
                    continue
                if filled == len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                    shares = np.concatenate((shares, np.empty_like(shares)))
                left, right = places[i], places[j - 1] + length - 1
                start, stop = widened(
                    data[offsets[row] : offsets[row + 1]],
                    ends[left - 1] - offsets[row] if left else 0,
                    starts[left] - offsets[row],
                    ends[right] - offsets[row],
                    starts[right + 1] - offsets[row] if right + 1 < count else offsets[row + 1] - offsets[row],
                )
                found[filled, 0], found[filled, 1], found[filled, 2], found[filled, 3] = row, number, start, stop
                shares[filled] = weight / total
                filled += 1
                if waiting + 2 > len(stack):
                    stack = np.concatenate((stack, np.empty_like(stack)))
                # An n-gram that overlaps the passage belongs to it.
                while i > lo and places[i - 1] + length > left:
                    i -= 1
                while j < hi and places[j] <= right:
                    j += 1
                stack[waiting, 0], stack[waiting, 1] = lo, i
                stack[waiting + 1, 0], stack[waiting + 1, 1] = j, hi
                waiting += 2
    kept = found[:filled]
    return kept[:, 0].copy(), kept[:, 1].copy(), kept[:, 2].copy(), kept[:, 3].copy(), shares[:filled]
