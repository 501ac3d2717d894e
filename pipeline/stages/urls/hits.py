"""Which entries of each list the URLs of a batch hit.

Guarantee: for every list, the number of its entries that hit, and what they are: of addresses the most special one, of words
all, in alphabetic order. It depends on the URL and on the list alone. `lines.candidates` and `lines.words_of` say for one
address what is hit, and `verify` asks them.
Cost: 0.2 us per URL for its address and 0.5 us for each list of addresses, 0.3 us for each list of words or subwords, and 1 us
for each hit; 2 us more for a URL that is not plain (`kernels.urls.canonical`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.kernels.urls import lookups
from tokenmill.pipeline.kernels.urls.lookups import FoundParts, SortedHashes
from tokenmill.pipeline.stages.urls.column import Bytes, Places, UrlColumn
from tokenmill.pipeline.stages.urls.hashes import SIGNS, of_keys
from tokenmill.pipeline.stages.urls.index import ListIndex
from tokenmill.pipeline.stages.urls.lines import MOST
from tokenmill.pipeline.stages.urls.settings import Kind

Hits = tuple[npt.NDArray[np.int32], list[str | None]]
"""For each row, how many entries hit, and what they are; None if there is none."""
Found = Sequence[tuple[int, str]]
"""Rows with an entry that hits, each pair once; of one row, the entry to tell comes last."""
Words = tuple[Bytes, Places, Places]
FIRST = 3
"""Bytes at the beginning of a subword by which its places are found."""
HIT_SHARE = 4
"""Rows for each hit that there is room for at first."""


def hits(found: UrlColumn, lists: Sequence[ListIndex]) -> list[Hits]:
    """The hits of each list, row by row. A row without an address has none."""
    words = functools.cache(found.words)
    find: Mapping[Kind, Callable[[ListIndex], Found]] = {
        "addresses": lambda one: _addresses(found, one),
        "words": lambda one: _among(words(), one.words()),
        "subwords": lambda one: _within(words(), one.words()),
    }
    return [_told(find[one.kind](one), len(found), one.kind) for one in lists]


def _looked_up(rows: int, call: Callable[[FoundParts], int]) -> FoundParts:
    """What a kernel finds. `call`: fills arrays, and says how many it needs."""
    room = rows // HIT_SHARE + 64
    while (count := call(found := FoundParts.of(room))) > room:
        room = count
    return found.first(count)


def _addresses(found: UrlColumn, index: ListIndex) -> Found:
    parts = (found.data, found.starts, found.hosts, found.paths, found.ends, found.named, MOST, index.hashes())
    looked_up = _looked_up(len(found), functools.partial(lookups.addresses, *parts))
    rows, begins, stops = looked_up.rows.tolist(), looked_up.begins.tolist(), looked_up.stops.tolist()
    marks, places = looked_up.marks.tolist(), looked_up.places.tolist()
    data = found.data.tobytes() if rows else b""
    keys = [SIGNS[mark] + data[begin:stop] for mark, begin, stop in zip(marks, begins, stops, strict=True)]
    held = index.holding(places, keys)
    return [(row, key.decode()) for row, key, is_held in zip(rows, keys, held, strict=True) if is_held]


def _among(words: Words, listed: frozenset[bytes]) -> Found:
    """The words that are listed."""
    looked_up = _looked_up(len(words[1]), functools.partial(lookups.words, *words, _hashes(listed)))
    rows, begins, stops = looked_up.rows.tolist(), looked_up.begins.tolist(), looked_up.stops.tolist()
    data = words[0].tobytes() if rows else b""
    found = {(row, data[begin:stop].lower()) for row, begin, stop in zip(rows, begins, stops, strict=True)}
    return sorted((row, word.decode()) for row, word in found if word in listed)


@functools.lru_cache(maxsize=16)
def _hashes(listed: frozenset[bytes]) -> SortedHashes:
    return lookups.sorted_hashes(np.sort(of_keys(list(listed))))


def _within(words: Words, listed: frozenset[bytes]) -> Found:
    """The listed subwords."""
    data, starts, ends = words
    of_first, wanted = _by_first(listed)
    out = np.empty(int((ends - starts).sum()) + len(starts) + FIRST, dtype=np.uint8)
    looked_up = _looked_up(len(starts), functools.partial(lookups.subwords, data, starts, ends, wanted, out))
    rows, begins = looked_up.rows.tolist(), looked_up.begins.tolist()
    # What stands behind the last END was never written, and no word reaches over one.
    text = out.tobytes() if rows else b""
    sizes = sorted({len(first) for first in of_first})
    found = {
        (row, word.decode())
        for row, at in zip(rows, begins, strict=True)
        for first in sizes
        for word in of_first.get(text[at : at + first], ())
        if text.startswith(word, at)
    }
    return sorted(found)


@functools.lru_cache(maxsize=16)
def _by_first(listed: frozenset[bytes]) -> tuple[dict[bytes, list[bytes]], Bytes]:
    """Subwords by their first FIRST bytes, and by the code of these whether one begins so. uint8 [CODES]"""
    of_first: dict[bytes, list[bytes]] = {}
    for word in sorted(listed):
        of_first.setdefault(word[:FIRST], []).append(word)
    wanted = np.zeros(lookups.CODES, dtype=np.uint8)
    for first in of_first:
        # Whatever follows a shorter one.
        low = lookups.code_of(np.frombuffer(first.ljust(FIRST, b"\0"), dtype=np.uint8), 0)
        wanted[low : low + 64 ** (FIRST - len(first))] = 1
    return of_first, wanted


def _told(found: Found, count: int, kind: Kind) -> Hits:
    """`count`: of all rows."""
    counts = np.bincount([row for row, _ in found], minlength=count) if found else np.zeros(count)
    entries: list[str | None] = [None] * count
    for row, entry in found:
        before = entries[row]
        entries[row] = entry if kind == "addresses" or before is None else f"{before} {entry}"
    return counts.astype(np.int32), entries
