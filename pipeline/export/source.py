"""What every format is made from: the surviving text without forgotten documents, and the token store.

Guarantee: text is compared with its manifests when it is read. The store is given only if nothing in it is masked, because
readers of other tools would not mask it.
Cost: one shard of text; opening the store is O(token shards).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.corpus import TOKENS, CorpusFolder
from tokenmill.pipeline.tokens import TokenShard, TokenStore, forget

COLUMNS = ("doc_id", "source", "url", "text", "metadata")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One file of an export. `write` makes the whole file at the given path and returns the number of documents in it."""

    name: str
    write: Callable[[Path], int]


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """A corpus to export."""

    corpus: CorpusFolder
    licence: str | None
    """The licence of the text, if it is known."""

    @functools.cached_property
    def views(self) -> list[View]:
        """The shards of text, in document order."""
        return self.corpus.views()

    @functools.cached_property
    def forgotten(self) -> tuple[bytes, ...]:
        """The ids of documents to leave out. Raises CorruptFile."""
        known = forget.load(self.corpus.root / TOKENS)
        return known.documents if known is not None else ()

    def texts(self, view: View) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """The documents of a shard (`COLUMNS`, `doc_id` in hex) and their rows in it. Raises CorruptFile, Misaligned."""
        alive = view.read(COLUMNS)
        # The text has the edits of `personal`; what stands beside it has none.
        table, rows = self.corpus.censor.table(alive.table), alive.rows
        gone = forget.rows_of(table["doc_id"], self.forgotten)
        if len(gone):
            kept = np.delete(np.arange(table.num_rows), gone)
            table, rows = table.take(pa.array(kept)), rows[kept]
        ids = pa.array([value.hex() for value in table["doc_id"].to_pylist()], pa.string())
        table = table.set_column(0, "doc_id", ids).set_column(1, "source", pc.cast(table["source"], pa.string()))
        return table, rows

    @functools.cached_property
    def store(self) -> TokenStore:
        """The token store. Raises InputError when it holds forgotten documents; NotBuilt, CorruptFile, StaleInput."""
        store = TokenStore.of(self.corpus.published / TOKENS)
        if any(split.has_forgotten for split in store.splits):
            raise InputError(
                f"{store.folder} still holds tokens of forgotten documents, which other readers would not mask; "
                f"run `tokenmill compact {self.corpus.root}` first"
            )
        return store

    @property
    def token_shards(self) -> Iterator[tuple[str, TokenShard]]:
        """The token shards of the store, each with the name of its files: `train/00000`. Raises as `store` does."""
        for split in self.store.splits:
            for shard in split.shards:
                yield f"{split.name}/{shard.path.stem}", shard


def link(name: str, shard: TokenShard, named: Named) -> Item:
    """A file of a token shard under the name `name`. Documents are counted for the payload alone."""

    def write(path: Path) -> int:
        files.link(shard.root, [named], path)
        return (shard.documents[1].rows or 0) if named == shard.payload else 0

    return Item(name=name, write=write)
