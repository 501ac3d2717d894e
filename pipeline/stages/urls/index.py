"""The index of a list: a sorted file of hashes, and the keys that they stand for.

Purpose: lists of many million entries are looked up from files that all workers map, so that no process holds a list.
Guarantee: a hit is the very key that was asked for: hashes of 64 bits find candidates, and their texts are compared. So keys
that share a hash cost time, and never a document.
Cost: 16 bytes and the key for each entry, on disk. A look-up reads a page of hashes, which the system keeps if it has room, and
a page of keys for each hit.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.external.runs import Run, load
from tokenmill.pipeline.kernels.urls import lookups
from tokenmill.pipeline.kernels.urls.lookups import SortedHashes
from tokenmill.pipeline.stages.urls.settings import Kind

KINDS = ("<u8", "<u8")
"""A run of hashes and places. A place is the number of a file of keys in its high bits, and the byte there in the low ones."""
PLACE_BITS = 40


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

    def hashes(self) -> SortedHashes:
        """The hashes of its keys; see `urls.hashes`."""
        return _mapped(self.run, _state(self.run.path))[0]

    def holding(self, at: Sequence[int], keys: Sequence[bytes]) -> list[bool]:
        """Whether the list has each of the keys. `at`: where the hash of each first stands among its `hashes`."""
        (known, _, _), places = _mapped(self.run, _state(self.run.path))
        # The files of keys are looked for once in each call.
        texts = functools.cache(lambda number: _bytes(self.keys[number], _state(self.keys[number])).data)
        held = []
        for first, key in zip(at, keys, strict=True):
            place, line, found = first, key + b"\n", False
            while not found and place < len(known) and known[place] == known[first]:
                file, start = divmod(int(places[place]), 1 << PLACE_BITS)
                # The byte before a key ends another one, so a key that is found is a whole one.
                found = texts(file)[start : start + len(line)] == line
                place += 1
            held.append(found)
        return held

    def words(self) -> frozenset[bytes]:
        """All keys, for lists of words, which are small."""
        return _words(self.keys, tuple(map(_state, self.keys)))


def _state(path: Path) -> tuple[int, int]:
    """Tells a file from one that stood under its name before, as where an index was damaged and made anew."""
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _mapped(run: Run, _at: tuple[int, int]) -> tuple[SortedHashes, npt.NDArray[np.uint64]]:
    hashes, places = run.columns()
    return lookups.sorted_hashes(hashes), places


@functools.lru_cache(maxsize=4096)
def _bytes(path: Path, _at: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return load(path, np.uint8)


@functools.lru_cache(maxsize=64)
def _words(keys: tuple[Path, ...], _at: tuple[tuple[int, int], ...]) -> frozenset[bytes]:
    return frozenset(word for path in keys for word in _bytes(path, _state(path)).tobytes().split(b"\n") if word)
