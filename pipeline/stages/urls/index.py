"""The index of a list: a sorted file of hashes, and the keys that they stand for.

Purpose: lists of many million entries are looked up from files that all workers map, so that no process holds a list.
Guarantee: a hit is the very key that was asked for: hashes of 64 bits find candidates, and their texts are compared. So keys
that share a hash cost time, and never a document.
Cost: 16 bytes and the key for each entry, on disk. A look-up reads a page of hashes, which the system keeps if it has room, and
a page of keys for each hit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.external.runs import Run, load
from tokenmill.pipeline.stages.urls.settings import Kind

KINDS = ("<u8", "<u8")
"""A run of hashes and places. A place is the number of a file of keys in its high bits, and the byte there in the low ones."""
PLACE_BITS = 40
OFFSET = (1 << PLACE_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class ListIndex:
    """An index on the disk. Picklable."""

    name: str
    identity: Mapping[str, Any]
    """What distinguishes the list from others, as JSON values."""
    run: Run
    keys: tuple[Path, ...]
    """Files of keys, each ended by a newline."""

    @property
    def kind(self) -> Kind:
        """What its keys are."""
        kind: Kind = self.identity["kind"]
        return kind

    def find(self, hashes: npt.NDArray[np.uint64], key: Callable[[int], bytes]) -> npt.NDArray[np.int64]:
        """Which of the keys with these hashes, in ascending order, are in the list. `key`: gives one of them. int64 [found]"""
        known, places = _mapped(self.run, _state(self.run.path))
        at = np.searchsorted(known, hashes)
        same = at < len(known)
        same[same] = known[at[same]] == hashes[same]
        found = []
        for number in np.flatnonzero(same).tolist():
            place, wanted = int(at[number]), key(number) + b"\n"
            while place < len(known) and known[place] == hashes[number]:
                if self._is_at(int(places[place]), wanted):
                    found.append(number)
                    break
                place += 1
        return np.array(found, dtype=np.int64)

    def words(self) -> frozenset[bytes]:
        """All keys, for lists of words, which are small."""
        return _words(self.keys, tuple(map(_state, self.keys)))

    def _is_at(self, place: int, wanted: bytes) -> bool:
        start = place & OFFSET
        # The byte before a key ends another one, so a key that is found is a whole one.
        path = self.keys[place >> PLACE_BITS]
        return _bytes(path, _state(path))[start : start + len(wanted)].tobytes() == wanted


def _state(path: Path) -> tuple[int, int]:
    """Tells a file from one that stood under its name before, as where an index was damaged and made anew."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _mapped(run: Run, _at: tuple[int, int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    hashes, places = run.columns()
    return hashes, places


@functools.lru_cache(maxsize=4096)
def _bytes(path: Path, _at: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return load(path, np.uint8)


@functools.lru_cache(maxsize=64)
def _words(keys: tuple[Path, ...], _at: tuple[tuple[int, int], ...]) -> frozenset[bytes]:
    return frozenset(word for path in keys for word in _bytes(path, _state(path)).tobytes().split(b"\n") if word)
