"""The token store as a reader sees it: splits, windows, documents. No torch.

Purpose: what a trainer needs of a packed corpus, straight from memory-mapped files.
Guarantee: a store without a manifest, of another tokenizer, or with sizes that do not fit is refused when it is opened;
a window never holds bytes other than those that were packed, since each MiB is compared with its hash before its first use.
Cost: opening is O(shards) and reads no payload; the first touch of a MiB hashes it (0.5 ms), later ones copy the window.
"""

from __future__ import annotations

import functools
import hashlib
from bisect import bisect_right
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from pipeline import files, manifest, shards
from pipeline.errors import CorruptFile, NotBuilt, StaleInput
from pipeline.files import FileEntry
from pipeline.manifest import Manifest
from pipeline.shards import Named
from pipeline.tokens.format import (
    BLOCK_BYTES,
    DIGEST_BYTES,
    DOCUMENTS,
    FOLDER,
    SPLITS,
    STAGE,
    Ids,
    IdType,
    SplitName,
    dtype_for,
)


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """One .bin with its side files, memory-mapped at first use. `first_token` is its place in the split."""

    root: Path
    payload: Named
    blocks: Named
    index: Named
    documents: Named
    first_token: int
    dtype: IdType
    _seen: set[int] = field(default_factory=set, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """Without the maps and hashes: a reader that is sent to another process opens the files there."""
        return {"_seen": set(), **{item.name: getattr(self, item.name) for item in fields(self) if item.init}}

    @property
    def path(self) -> Path:
        """The .bin file."""
        return self.root / self.payload[0]

    @property
    def tokens(self) -> int:
        """How many tokens it holds."""
        return self.payload[1].bytes // self.dtype.itemsize

    @functools.cached_property
    def ids(self) -> Ids:
        """All ids, memory-mapped and unchecked. [tokens]"""
        return np.memmap(self.path, dtype=self.dtype, mode="r")

    @functools.cached_property
    def hashes(self) -> bytes:
        """The hash of each block, end to end. Raises CorruptFile."""
        return files.read_verified(self.root, *self.blocks)

    def read(self, start: int, stop: int) -> Ids:
        """A copy of the ids [start, stop) of this shard. Raises CorruptFile, naming the block, when its bytes have changed."""
        size = self.dtype.itemsize
        for block in range(start * size // BLOCK_BYTES, (stop * size - 1) // BLOCK_BYTES + 1):
            if block not in self._seen:
                self.check(block)
                self._seen.add(block)
        return np.array(self.ids[start:stop])

    def check(self, block: int) -> None:
        """Compare one block with its hash. Raises CorruptFile."""
        data = self.ids.view(np.uint8)[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
        wanted = self.hashes[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]
        found = hashlib.sha256(data.data).digest()
        if found != wanted:
            raise CorruptFile(
                f"{self.path}: block {block} (bytes {block * BLOCK_BYTES} to {block * BLOCK_BYTES + len(data)}) has SHA-256 "
                f"{found.hex()}, {self.blocks[0]} names {wanted.hex()}; run the build again to make it anew"
            )


@dataclass(frozen=True, kw_only=True)
class Split:
    """One side of a store: its shards as one stream of tokens in document order."""

    name: SplitName
    shards: tuple[TokenShard, ...]
    dtype: IdType

    @property
    def tokens(self) -> int:
        """How many tokens there are, end-of-text included."""
        return sum(shard.tokens for shard in self.shards)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return sum(shard.documents[1].rows or 0 for shard in self.shards)

    def windows(self, length: int) -> int:
        """How many windows of `length` tokens and one more there are when each begins `length` after the one before."""
        assert length >= 1, f"{length=}"
        return max(0, self.tokens - 1) // length

    def window(self, index: int, length: int) -> Ids:
        """Tokens [index * length, index * length + length + 1) of the split, as a copy of the store's dtype.

        Raises IndexError when there is no such window, CorruptFile when its bytes are not those that were packed.
        """
        if not 0 <= index < self.windows(length):
            raise IndexError(f"window {index} of {self.name}, which has {self.windows(length)} windows of {length} tokens")
        return self.read(index * length, index * length + length + 1)

    def read(self, start: int, stop: int) -> Ids:
        """A copy of the tokens [start, stop) of the split, which may lie in several shards. Raises IndexError, CorruptFile."""
        if not 0 <= start <= stop <= self.tokens:
            raise IndexError(f"tokens {start} to {stop} of {self.name}, which has {self.tokens}")
        parts: list[Ids] = []
        at = bisect_right(self._starts, start) - 1
        while start < stop:
            shard = self.shards[at]
            end = min(stop, shard.first_token + shard.tokens)
            parts.append(shard.read(start - shard.first_token, end - shard.first_token))
            start, at = end, at + 1
        return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, self.dtype), *parts])

    def documents_table(self) -> pa.Table:
        """One row per document in the order of the tokens (`DOCUMENTS`). Raises CorruptFile.

        `token_offset` counts from the start of the document's own shard.
        """
        tables = [shards.read(shard.root, shard.documents) for shard in self.shards]
        return pa.concat_tables([DOCUMENTS.empty_table(), *tables]).unify_dictionaries()

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [shard.first_token for shard in self.shards]


@dataclass(frozen=True, kw_only=True)
class TokenStore:
    """A packed corpus. Made by `open`."""

    folder: Path
    manifest: Manifest
    splits: tuple[Split, ...]

    @classmethod
    def open(cls, folder: Path, *, tokenizer: str | None = None) -> Self:
        """The store in `folder`, the `tokens` folder of a corpus.

        `tokenizer`: the fingerprint that the store must have, where the caller depends on one.
        Raises NotBuilt without a manifest, CorruptFile when a file is missing or has another size than the manifest
        names, StaleInput when the tokenizer is another.
        """
        if folder.name != FOLDER:
            raise NotBuilt(f"{folder}: a token store is the folder {FOLDER!r} of a corpus; give that folder")
        root = folder.parent
        made = manifest.load(root, STAGE)
        if tokenizer is not None and made.facts["tokenizer"] != tokenizer:
            raise StaleInput(
                f"{folder} was packed with the tokenizer {made.facts['tokenizer']}, but {tokenizer=} is wanted; "
                "use the tokenizer of this corpus, or build the corpus with yours"
            )
        for name, entry in made.entries():
            _check_size(root, name, entry)
        store = cls(folder=folder, manifest=made, splits=tuple(_split(root, made, name) for name in SPLITS))
        for split in store.splits:
            facts = made.facts["splits"][split.name]
            if (split.tokens, split.documents) != (facts["tokens"], facts["documents"]):
                raise CorruptFile(
                    f"{manifest.path_of(root, STAGE)}: names {facts['tokens']} tokens in {facts['documents']} documents of "
                    f"{split.name}, its files hold {split.tokens} in {split.documents}; run the build again"
                )
        return store

    def split(self, name: SplitName) -> Split:
        """The split of that name."""
        return next(split for split in self.splits if split.name == name)

    @property
    def vocabulary(self) -> int:
        """The number of ids; every id is below it."""
        return int(self.manifest.facts["vocabulary"])

    @property
    def end_of_text(self) -> int:
        """The id that ends each document."""
        return int(self.manifest.facts["end_of_text"])

    @property
    def tokenizer(self) -> str:
        """The fingerprint (SHA-256 of the file) of the tokenizer that made the ids."""
        return str(self.manifest.facts["tokenizer"])

    @property
    def hash(self) -> str:
        """The identity of everything in the store: the hash of its manifest."""
        return self.manifest.hash


def _split(root: Path, made: Manifest, split: SplitName) -> Split:
    dtype = dtype_for(int(made.facts["vocabulary"]))
    found: list[TokenShard] = []
    first_token = 0
    prefix, suffix = f"{FOLDER}/{split}/", ".bin"
    payloads = [name for name in made.files if name.startswith(prefix) and name.endswith(suffix)]
    for name in sorted(payloads, key=lambda name: int(name.removeprefix(prefix).removesuffix(suffix))):
        stem = name.removesuffix(suffix)
        payload, blocks, index, documents = (
            (stem + kind, made.files[stem + kind]) for kind in (suffix, ".blocks", ".idx", ".docs.parquet")
        )
        shard = TokenShard(
            root=root,
            payload=payload,
            blocks=blocks,
            index=index,
            documents=documents,
            first_token=first_token,
            dtype=dtype,
        )
        found.append(shard)
        first_token += shard.tokens
    return Split(name=split, shards=tuple(found), dtype=dtype)


def _check_size(root: Path, name: str, entry: FileEntry) -> None:
    path = root / name
    size = path.stat().st_size if path.is_file() else None
    if size != entry.bytes:
        there = "missing" if size is None else f"{size} bytes"
        raise CorruptFile(f"{path}: {there}, its manifest names {entry.bytes} bytes; run the build again to make it anew")
