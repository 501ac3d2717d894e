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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.stages.addresses import Address
from tokenmill.pipeline.stages.urls import hashes
from tokenmill.pipeline.stages.urls.hashes import ADDRESS, ALONE, BELOW, SIGNS
from tokenmill.pipeline.stages.urls.index import ListIndex
from tokenmill.pipeline.stages.urls.lines import LONGEST_HOST, MOST, WORD, WWW, is_ip, spelled
from tokenmill.pipeline.stages.urls.settings import Kind

Integers = npt.NDArray[np.int64]
Hits = tuple[npt.NDArray[np.int32], list[str | None]]
"""For each row, how many entries hit, and what they are; None if there is none."""
Found = Sequence[tuple[int, str]]
"""Addresses by number with an entry that hits, each pair once; of one address, the entry to tell comes last."""
FIRST = 3
"""Bytes at the beginning of a subword by which its places are found."""
END = b"\n"
IN_WORDS = bytes(
    byte if chr(byte).isalnum() or byte >= 0x80 or byte == END[0] else ord(" ") for byte in bytes(range(256)).lower()
)
"""Translates bytes of ASCII to lower case, and all but letters and digits to spaces."""


def hits(found: Sequence[Address | None], lists: Sequence[ListIndex]) -> list[Hits]:
    """The hits of each list, row by row. A row without an address has none."""
    rows = np.array([row for row, one in enumerate(found) if one is not None], dtype=np.int64)
    there = [one for one in found if one is not None]
    parts = functools.cache(lambda: _parts(there))
    words = functools.cache(lambda: _words(there))
    find: Mapping[Kind, Callable[[ListIndex], Found]] = {
        "addresses": lambda one: _addresses(parts(), one),
        "words": lambda one: _among(words(), one.words()),
        "subwords": lambda one: _within(words().data.translate(None, b" "), one.words()),
    }
    return [_told(find[one.kind](one), rows, len(found), one.kind) for one in lists]


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """Parts of one text: the keys that hit any address, in the order of their hashes, or the words of all, in their order."""

    data: bytes
    starts: Integers
    ends: Integers
    marks: Integers
    of: Integers
    """The number of the address that each is a part of."""
    hashes: npt.NDArray[np.uint64]

    def key(self, number: int) -> bytes:
        """A key as it stands in lists."""
        return SIGNS[int(self.marks[number])] + self.data[self.starts[number] : self.ends[number]]


def _parts(found: Sequence[Address]) -> _Parts:
    """The keys of `lines.candidates` for every address, without an object for each."""
    data = "".join([one.text for one in found]).encode("ascii")
    text, every = np.frombuffer(data, dtype=np.uint8), np.arange(len(found))
    ends = np.cumsum([len(one.text) for one in found], dtype=np.int64)
    begins = np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(found)]
    hosts = begins + np.array([one.host_end for one in found], dtype=np.int64)
    paths = begins + np.array([one.path_start for one in found], dtype=np.int64)
    sites = begins.copy()
    sites[[number for number, one in enumerate(found) if one.text.startswith(WWW)]] += len(WWW)
    named = hosts - begins <= LONGEST_HOST
    # An IP address ends in a digit, or in a bracket.
    for number in np.flatnonzero((text[hosts - 1] <= ord("9")) | (text[hosts - 1] == ord("]"))).tolist():
        named[number] &= not is_ip(found[number].host)

    def places(sign: str) -> tuple[Integers, Integers]:
        at = np.flatnonzero(text == ord(sign))
        return at, np.searchsorted(begins, at, side="right") - 1

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
        (begins, hosts, BELOW, every),
        (begins, hosts, ALONE, every),
        (sites[of_cuts], cuts, ADDRESS, of_cuts),
        (sites, paths + 1, ADDRESS, every),
        (sites[long], ends[long], ADDRESS, long),
    ]
    starts, stops, of = (np.concatenate([kind[column] for kind in kinds]) for column in (0, 1, 3))
    marks = np.repeat([kind[2] for kind in kinds], [len(kind[0]) for kind in kinds])
    hashed = hashes.of_parts(text, starts, stops, marks)
    order = np.argsort(hashed)
    return _Parts(data=data, starts=starts[order], ends=stops[order], marks=marks[order], of=of[order], hashes=hashed[order])


def _addresses(asked: _Parts, index: ListIndex) -> Found:
    at = index.find(asked.hashes, asked.key)
    # Of addresses, hosts alone and hosts above, the longest: the most special one comes last.
    order = np.lexsort((asked.ends[at] - asked.starts[at], -asked.marks[at]))
    return [(int(asked.of[number]), asked.key(number).decode()) for number in at[order].tolist()]


def _words(found: Sequence[Address]) -> _Parts:
    """The words of `lines.words_of` for every address, in one text with spaces between them and END behind each address."""
    lines = [spelled(one) for one in found]
    lines = [line if line.isascii() else " ".join(WORD.findall(line.lower())) for line in lines]
    data = "".join([f"{line}\n" for line in lines]).encode().translate(IN_WORDS)
    text = np.frombuffer(data, dtype=np.uint8)
    inside = text > ord(" ")
    changes = np.flatnonzero(np.diff(inside, prepend=False))
    starts, ends = changes[::2], changes[1::2]
    marks = np.full(len(starts), ADDRESS)
    return _Parts(
        data=data,
        starts=starts,
        ends=ends,
        marks=marks,
        of=np.searchsorted(np.flatnonzero(text == END[0]), starts),
        hashes=hashes.of_parts(text, starts, ends, marks),
    )


def _among(words: _Parts, listed: frozenset[bytes]) -> Found:
    """The words that are listed."""
    known = np.sort(hashes.of_keys(list(listed)))
    at = np.searchsorted(known, words.hashes)
    same = at < len(known)
    same[same] = known[at[same]] == words.hashes[same]
    found = [(int(words.of[number]), words.key(number)) for number in np.flatnonzero(same).tolist()]
    return sorted({(number, word.decode()) for number, word in found if word in listed})


def _within(data: bytes, listed: frozenset[bytes]) -> Found:
    """The listed subwords in texts that END divides."""
    text = np.frombuffer(data, dtype=np.uint8)
    of_first, wanted = _by_first(listed)
    found = [(place, first) for first in of_first if len(first) < FIRST for place in _places(data, first)]
    count = max(0, len(text) - FIRST + 1)
    coded = np.zeros(count, dtype=np.int32)
    for byte in range(FIRST):
        coded |= text[byte : count + byte].astype(np.int32) << 8 * byte
    for place in np.flatnonzero(wanted[coded]).tolist():
        found += [(place, word) for word in of_first[data[place : place + FIRST]] if data.startswith(word, place)]
    of = np.searchsorted(np.flatnonzero(text == END[0]), [place for place, _ in found])
    return sorted({(number, word.decode()) for number, (_, word) in zip(of.tolist(), found, strict=True)})


@functools.lru_cache(maxsize=4)
def _by_first(listed: frozenset[bytes]) -> tuple[dict[bytes, list[bytes]], npt.NDArray[np.bool_]]:
    """Subwords by their first FIRST bytes, and which integers of as many bytes begin one."""
    of_first = {first: [*mine] for first, mine in itertools.groupby(sorted(listed), key=lambda word: word[:FIRST])}
    wanted = np.zeros(1 << 8 * FIRST, dtype=np.bool_)
    wanted[[int.from_bytes(first, "little") for first in of_first if len(first) == FIRST]] = True
    return of_first, wanted


def _places(data: bytes, word: bytes) -> list[int]:
    """Where a word of one or two letters stands."""
    return [place for place in range(len(data)) if data.startswith(word, place)]


def _told(found: Found, rows: Integers, count: int, kind: Kind) -> Hits:
    """`rows`: of each address. `count`: of all rows."""
    counts = np.bincount(rows[[number for number, _ in found]], minlength=count) if found else np.zeros(count)
    entries: list[str | None] = [None] * count
    for number, entry in found:
        before = entries[row := int(rows[number])]
        entries[row] = entry if kind == "addresses" or before is None else f"{before} {entry}"
    return counts.astype(np.int32), entries
