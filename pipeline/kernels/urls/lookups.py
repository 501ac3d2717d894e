"""Parts and words of addresses that stand in a list, by their hashes.

Purpose: an address asks for ten keys, each a part of it, and every list is asked. Sums of bytes times powers of a number give
the hash of each part in one pass forward and one pass back.
Guarantee: equal parts with equal marks have equal hashes, on every machine. Others collide by accident with a probability of
2^-64 for each pair, and on purpose easily: whoever asks compares texts (`stages.urls.index`).
Cost: 1 ns per byte, and 20 to 40 ns per part and list while the list's hashes are in the processor's cache. Hashes are spread
evenly, so a look-up among 100 million reads four places, not 27.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.leaf import inlined, leaf
from tokenmill.pipeline.kernels.machine_code import njit

Bytes = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

BASE = np.uint64(0x9E3779B97F4A7C15)
ADDRESS, ALONE, BELOW = range(3)
"""Marks of keys: an address (or a word), `=host`, `.host`."""
MARKS = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 0x2545F4914F6CDD1D], dtype=np.uint64)
_TO_SHARE = 2.0**-64
_GUESSES = 6
"""After as many, halves are taken: hashes that someone chose need not be spread evenly."""
_FEW = 8
SIEVED = 2_000_000
"""Of more hashes, no sieve is made: that would read them all."""
SIEVE_BITS = 8
"""Bits of a sieve for each hash."""

END = np.uint8(0x0A)
"""Stands behind the letters and digits of each address."""
CODES = 1 << 18
"""Codes of three bytes, of six bits each."""


class FoundParts(NamedTuple):
    """Room for the parts of addresses that stand in a list. int64, `marks` uint8 [parts]"""

    rows: Places
    """The number of the address."""
    begins: Places
    stops: Places
    marks: Bytes
    places: Places
    """Where its hash first stands."""

    @classmethod
    def of(cls, size: int) -> FoundParts:
        """Room for `size` parts."""
        rows, begins, stops, places = np.empty((4, size), dtype=np.int64)
        return cls(rows, begins, stops, np.empty(size, dtype=np.uint8), places)

    def first(self, count: int) -> FoundParts:
        """The first `count` parts."""
        rows, begins, stops, marks, places = self
        return FoundParts(rows[:count], begins[:count], stops[:count], marks[:count], places[:count])


class SortedHashes(NamedTuple):
    """Hashes in ascending order, and what tells most others from them in one step."""

    hashes: Hashes
    sieve: Bytes
    """A bit for each value that the upper bits of a hash may have: 1 where one of them begins so. uint8, least bit first"""
    shift: np.uint64
    """The bits of a hash that are not among the upper ones."""


def sorted_hashes(hashes: Hashes) -> SortedHashes:
    """`hashes`: in ascending order."""
    if len(hashes) > SIEVED:
        return SortedHashes(hashes, np.full(1, 0xFF, dtype=np.uint8), np.uint64(61))
    bits = max(3, (len(hashes) * SIEVE_BITS).bit_length())
    shift = np.uint64(64 - bits)
    begun = np.zeros(1 << bits, dtype=np.bool_)
    begun[hashes >> shift] = True
    return SortedHashes(hashes, np.packbits(begun, bitorder="little"), shift)


@inlined
def _plus(byte: int) -> np.uint64:
    return np.uint64(byte) + np.uint64(1)


@inlined
def place_of(wanted: np.uint64, known: SortedHashes) -> int:
    """Where `wanted` first stands among the hashes; -1 if it does not."""
    begin = wanted >> known.shift
    begun = known.sieve[begin >> np.uint64(3)] >> (begin & np.uint64(7)) & np.uint64(1)
    return _place(wanted, known.hashes) if begun else -1


@leaf
def _place(wanted: np.uint64, known: Hashes) -> int:
    # All before `low` are less, and none from `high` on is.
    low, high, guesses = 0, len(known), 0
    while high - low > _FEW and guesses < _GUESSES:
        first, last = known[low], known[high - 1]
        if wanted <= first:
            high = low
        elif wanted > last:
            low = high
        else:
            middle = low + int(float(wanted - first) / float(last - first) * (high - 1 - low))
            # Where hashes are spread evenly, the guess is off by about this.
            step = int(math.sqrt(high - low))
            if known[middle] < wanted:
                low = middle + 1
                while low + step < high and known[low + step] < wanted:
                    low += step + 1
                    step *= 2
                high = min(high, low + step)
            else:
                high = middle
                while high - step > low and known[high - step] >= wanted:
                    high -= step
                    step *= 2
                low = max(low, high - step)
        guesses += 1
    while high - low > _FEW:
        middle = (low + high) // 2
        if known[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    while low < high and known[low] < wanted:
        low += 1
    return low if low < len(known) and known[low] == wanted else -1


@inlined
def _look_up(
    part: np.uint64, mark: int, known: SortedHashes, found: FoundParts, count: int, row: int, begin: int, stop: int
) -> int:
    """Look up one part, whose hash without its mark is `part`. Returns how many are found with it."""
    place = place_of(part * MARKS[mark], known)
    if place < 0:
        return count
    if count < len(found.rows):
        found.rows[count], found.begins[count], found.stops[count] = row, begin, stop
        found.marks[count], found.places[count] = mark, place
    return count + 1


@njit(nogil=True, cache=True)
def of_parts(data: Bytes, starts: Places, ends: Places, marks: Bytes, out: Hashes) -> None:
    """out[i]: the hash of `data[starts[i]:ends[i]]` with its mark. uint64 [parts]"""
    for part in range(len(starts)):
        found = np.uint64(0)
        for at in range(ends[part] - 1, starts[part] - 1, -1):
            found = found * BASE + _plus(data[at])
        out[part] = found * MARKS[marks[part]]


@njit(nogil=True, cache=True)
def addresses(
    data: Bytes,
    starts: Places,
    hosts: Places,
    paths: Places,
    ends: Places,
    named: Bytes,
    most: int,
    known: SortedHashes,
    found: FoundParts,
) -> int:
    """Look up the keys of each address, as `stages.urls.lines.candidates` lists them, among the ascending hashes `known`.

    starts, hosts, paths, ends: where each begins, its host ends, its path begins, and it ends. named: 1 if a host has hosts
    above it. most: bytes of a path in which it may end. found: receives them; of one address, the most special part comes last.
    Returns how many there are; if `found` holds fewer, call again with longer arrays.
    """
    count = 0
    for row in range(len(starts)):
        start, host, path, end = starts[row], hosts[row], paths[row], ends[row]
        if start == end:
            continue
        part = np.uint64(0)
        for at in range(host - 1, start - 1, -1):
            part = part * BASE + _plus(data[at])
            if at == start or (named[row] and data[at - 1] == 0x2E):
                count = _look_up(part, BELOW, known, found, count, row, at, host)
        count = _look_up(part, ALONE, known, found, count, row, start, host)
        site = start + 4 * _is_www(data, start, path)
        part, power, in_query = np.uint64(0), np.uint64(1), False
        for at in range(site, end):
            byte, after = data[at], at - path
            border = byte == 0x26 if in_query else (byte == 0x2F or byte == 0x3F)
            if after == 1 or (border and 1 < after < most):
                count = _look_up(part, ADDRESS, known, found, count, row, site, at)
            in_query = in_query or (byte == 0x3F and after < most)
            part += _plus(byte) * power
            power *= BASE
        count = _look_up(part, ADDRESS, known, found, count, row, site, end)
    return count


@inlined
def _is_www(data: Bytes, start: int, path: int) -> bool:
    if path - start < 4 or data[start + 3] != 0x2E:
        return False
    return bool(data[start] == 0x77 and data[start + 1] == 0x77 and data[start + 2] == 0x77)


@inlined
def _letter(byte: int) -> int:
    """The byte in lower case if it is of a letter or a digit, as all beyond ASCII count; else 0."""
    if 0x41 <= byte <= 0x5A:
        return byte | 0x20
    return byte if 0x61 <= byte <= 0x7A or 0x30 <= byte <= 0x39 or byte >= 0x80 else 0


@njit(nogil=True, cache=True)
def words(data: Bytes, starts: Places, ends: Places, known: SortedHashes, found: FoundParts) -> int:
    """Look up the words of each address, in lower case, among the ascending hashes `known`. The rest is as in `addresses`."""
    count = 0
    for row in range(len(starts)):
        begin, part, power = starts[row], np.uint64(0), np.uint64(1)
        for at in range(starts[row], ends[row] + 1):
            letter = _letter(data[at]) if at < ends[row] else 0
            if letter:
                part += _plus(letter) * power
                power *= BASE
                continue
            if at > begin:
                count = _look_up(part, ADDRESS, known, found, count, row, begin, at)
            begin, part, power = at + 1, np.uint64(0), np.uint64(1)
    return count


@leaf
def code_of(data: Bytes, at: int) -> int:
    """A code of three bytes. Other bytes may share it."""
    return (int(data[at]) & 63) << 12 | (int(data[at + 1]) & 63) << 6 | int(data[at + 2]) & 63


@njit(nogil=True, cache=True)
def subwords(data: Bytes, starts: Places, ends: Places, wanted: Bytes, out: Bytes, found: FoundParts) -> int:
    """Where subwords may begin among the letters and digits of each address.

    wanted: by `code_of` the first three bytes, 1 where a subword begins so. out: receives the letters and digits of all
    addresses in lower case, with END behind each; it has room for all bytes, one more for each, and two. found: receives the
    addresses, and places in `out` as `begins`. Returns as `addresses` does.
    """
    count = size = 0
    for row in range(len(starts)):
        first = size
        for at in range(starts[row], ends[row]):
            letter = _letter(data[at])
            out[size] = letter
            size += letter != 0
        out[size] = out[size + 1] = out[size + 2] = END
        for at in range(first, size):
            if wanted[code_of(out, at)]:
                if count < len(found.rows):
                    found.rows[count], found.begins[count] = row, at
                count += 1
        size += 1
    return count
