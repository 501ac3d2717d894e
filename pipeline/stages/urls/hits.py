"""Which entries of each list the URLs of a batch hit.

Guarantee: for every list, the number of its entries that hit, and what they are: of addresses the most special one, of words
all, in alphabetic order. It depends on the URL and on the list alone. `lines.candidates` and `lines.words_of` say for one
address what is hit, and `verify` asks them.
Cost: 2 us per URL for its parts and 1 us for each list of addresses; 1 us for words and 0.5 us for each list of them; 1 us for
each list of subwords.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.stages.addresses import Address
from tokenmill.pipeline.stages.urls import hashes
from tokenmill.pipeline.stages.urls.hashes import ADDRESS, ALONE, BELOW, SIGNS
from tokenmill.pipeline.stages.urls.index import ListIndex
from tokenmill.pipeline.stages.urls.lines import LONGEST_HOST, MOST, WORD_OR_END, WWW, is_ip, spelled

Integers = npt.NDArray[np.int64]
Hits = tuple[npt.NDArray[np.int32], list[str | None]]
"""For each row, how many entries hit, and what they are; None if there is none."""
FIRST = 3
"""Bytes at the beginning of a subword by which its places are found."""


def hits(found: Sequence[Address | None], lists: Sequence[ListIndex]) -> list[Hits]:
    """The hits of each list, row by row. A row without an address has none."""
    rows = np.array([row for row, one in enumerate(found) if one is not None], dtype=np.int64)
    there = [one for one in found if one is not None]
    parts = functools.cache(lambda: _parts(there))
    words = functools.cache(lambda: WORD_OR_END.findall("".join([f"{spelled(one)}\n" for one in there]).lower()))
    find = {
        "addresses": lambda one: _addresses(parts(), one, len(there)),
        "words": lambda one: _told(_among(words(), one.words()), len(there)),
        "subwords": lambda one: _told(_within(words(), one.words()), len(there)),
    }
    told = []
    for one in lists:
        counts, entries = find[one.kind](one)
        spread = np.zeros(len(found), dtype=np.int32)
        spread[rows] = counts
        names: list[str | None] = [None] * len(found)
        for row, entry in zip(rows.tolist(), entries, strict=True):
            names[row] = entry
        told.append((spread, names))
    return told


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The keys that hit any address, as parts of one text, in the order of their hashes."""

    data: bytes
    starts: Integers
    ends: Integers
    marks: Integers
    rows: Integers
    """The address that each is a part of."""
    hashes: npt.NDArray[np.uint64]

    def key(self, number: int) -> bytes:
        """A key as it stands in lists."""
        return SIGNS[int(self.marks[number])] + self.data[self.starts[number] : self.ends[number]]


def _parts(found: Sequence[Address]) -> _Parts:
    """The keys of `lines.candidates` for every address, without an object for each."""
    data = "".join([one.text for one in found]).encode("ascii")
    text, rows = np.frombuffer(data, dtype=np.uint8), np.arange(len(found))
    sizes, hosts, paths = np.array([[len(one.text), *one[1:]] for one in found], dtype=np.int64).reshape(-1, 3).T
    ends = np.cumsum(sizes)
    begins = ends - sizes
    hosts, paths = begins + hosts, begins + paths
    sites = begins + np.array([len(WWW) * one.text.startswith(WWW) for one in found], dtype=np.int64)

    def places(sign: str) -> tuple[Integers, Integers]:
        at = np.flatnonzero(text == ord(sign))
        return at, np.searchsorted(begins, at, side="right") - 1

    named = np.array([one.host_end <= LONGEST_HOST and not is_ip(one.host) for one in found], dtype=np.bool_)
    dots, of_dots = places(".")
    mine = named[of_dots] & (dots < hosts[of_dots])
    dots, of_dots = dots[mine], of_dots[mine]
    # A path may end before its "?", before each "&" behind that, and before each "/" that is not behind it.
    at, of = places("?")
    of, first = np.unique(of, return_index=True)
    queries = ends.copy()
    queries[of] = at[first]
    queries[queries >= paths + MOST] = np.iinfo(np.int64).max
    slashes, of_slashes = places("/")
    ands, of_ands = places("&")
    cuts = np.concatenate([slashes[slashes < queries[of_slashes]], queries[queries < ends], ands[ands > queries[of_ands]]])
    of_cuts = np.searchsorted(begins, cuts, side="right") - 1
    mine = (cuts > paths[of_cuts] + 1) & (cuts < paths[of_cuts] + MOST)
    cuts, of_cuts = cuts[mine], of_cuts[mine]
    long = np.flatnonzero(ends > paths + 1)
    kinds = [
        (dots + 1, hosts[of_dots], BELOW, of_dots),
        (begins, hosts, BELOW, rows),
        (begins, hosts, ALONE, rows),
        (sites[of_cuts], cuts, ADDRESS, of_cuts),
        (sites, paths + 1, ADDRESS, rows),
        (sites[long], ends[long], ADDRESS, long),
    ]
    starts, stops, of = (np.concatenate([kind[column] for kind in kinds]) for column in (0, 1, 3))
    marks = np.repeat([kind[2] for kind in kinds], [len(kind[0]) for kind in kinds])
    hashed = hashes.of_parts(text, starts, stops, marks)
    order = np.argsort(hashed)
    return _Parts(data=data, starts=starts[order], ends=stops[order], marks=marks[order], rows=of[order], hashes=hashed[order])


def _addresses(asked: _Parts, index: ListIndex, count: int) -> Hits:
    at = index.find(asked.hashes, asked.key)
    # Of addresses, hosts alone and hosts above, the longest: the most special one comes last.
    order = np.lexsort((asked.ends[at] - asked.starts[at], -asked.marks[at]))
    entries: list[str | None] = [None] * count
    for number in at[order].tolist():
        entries[int(asked.rows[number])] = asked.key(number).decode()
    return np.bincount(asked.rows[at], minlength=count).astype(np.int32), entries


def _among(words: Sequence[str], listed: Collection[str]) -> set[tuple[int, str]]:
    """Rows with a listed word, and the word. `words`: those of all rows, with a newline behind each row's."""
    at = [number for number, word in enumerate(words) if word in listed]
    ends = np.array([number for number, word in enumerate(words) if word == "\n"], dtype=np.int64)
    return {(row, words[number]) for row, number in zip(np.searchsorted(ends, at).tolist(), at, strict=True)}


def _within(words: Sequence[str], listed: Collection[str]) -> set[tuple[int, str]]:
    """Rows whose words, joined, hold a listed subword, and the subword."""
    data = "".join(words).encode()
    text = np.frombuffer(data, dtype=np.uint8)
    subwords = sorted(word.encode() for word in listed)
    found = [(place, word) for word in subwords if len(word) < FIRST for place in _places(data, word)]
    of_first = {first: list(mine) for first, mine in itertools.groupby(subwords, key=lambda word: word[:FIRST])}
    wanted = np.zeros(1 << 8 * FIRST, dtype=np.bool_)
    wanted[[int.from_bytes(first, "little") for first in of_first if len(first) == FIRST]] = True
    count = max(0, len(text) - FIRST + 1)
    coded = np.zeros(count, dtype=np.int32)
    for byte in range(FIRST):
        coded |= text[byte : count + byte].astype(np.int32) << 8 * byte
    for place in np.flatnonzero(wanted[coded]).tolist():
        found += [(place, word) for word in of_first[data[place : place + FIRST]] if data.startswith(word, place)]
    rows = np.searchsorted(np.flatnonzero(text == ord("\n")), [place for place, _ in found])
    return {(row, word.decode()) for row, (_, word) in zip(rows.tolist(), found, strict=True)}


def _places(data: bytes, word: bytes) -> list[int]:
    return [place for place in range(len(data)) if data.startswith(word, place)]


def _told(pairs: set[tuple[int, str]], count: int) -> Hits:
    found: list[list[str]] = [[] for _ in range(count)]
    for row, word in sorted(pairs):
        found[row].append(word)
    return np.array([len(one) for one in found], dtype=np.int32), [" ".join(one) or None for one in found]
