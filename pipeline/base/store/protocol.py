"""What tokenmill needs of an object store: six operations.

Purpose: sources and published corpora use this protocol alone, so a store is whatever keeps its promises.
Guarantee: that of the implementation. `pipeline.base.store.client` keeps it through obstore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tokenmill.pipeline.base.address import Address


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredObject:
    """One object as the store described it. `key`: below the prefix of the store's address."""

    key: str
    bytes: int
    etag: str | None
    version: str | None
    changed_ns: int
    """When it was last written, by the clock of the store, in nanoseconds since 1970."""


class Sink(Protocol):
    """Where the bytes of an object go, in order."""

    def write(self, data: Any, /) -> int: ...


class Store(Protocol):
    """Objects below one address. Every operation is tried again, with back-off, after errors that may pass.

    All of them raise InputError, naming the address, for a store that cannot be reached or that refuses.
    """

    @property
    def address(self) -> Address: ...

    def listed(self, prefix: str = "") -> Iterator[StoredObject]:
        """All objects whose key begins with the folders `prefix`, in any order."""
        ...

    def look(self, key: str) -> StoredObject | None:
        """What the store says of an object; None if there is none."""
        ...

    def read(self, key: str, *, most_bytes: int) -> tuple[bytes, StoredObject] | None:
        """A small object, whole; None if there is none."""
        ...

    def fetch(self, found: StoredObject, out: Sink) -> None:
        """Write an object, whole and as it was found, to `out`. Raises StaleInput if it was replaced since."""
        ...

    def put(self, key: str, source: Path | bytes) -> None:
        """Write an object, whole or not at all, and in place of one that is there."""
        ...

    def swap(self, key: str, data: bytes, *, before: StoredObject | None) -> bool:
        """Write a small object if what is there is still `before` (None: if none is there). Returns whether it is there.

        Of several callers with the same `before`, one gets True. `data` must differ from what any other caller gives: that is
        how an answer that was lost on the way is told from another caller's success.
        """
        ...

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects, if they are there."""
        ...
