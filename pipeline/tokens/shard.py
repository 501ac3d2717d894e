"""One token shard as a reader sees it: its ids, checked block by block, and where its documents begin.

Guarantee: a read never gives bytes other than those that were packed, because each MiB is compared with its hash before its
first use. A file that is cut or replaced meanwhile raises an error, not a signal.
Cost: the first access to a MiB hashes it (0.5 ms); later ones copy from the page cache without the interpreter's lock. Memory
is 33 bytes per MiB that was read, and no mapping. At most `OPEN_FILES` files are open, however many shards there are.
"""

from __future__ import annotations

import functools
import hashlib
import os
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.base.versions import Lease
from tokenmill.pipeline.tokens.format import BLOCK_BYTES, DIGEST_BYTES, INDEX_HEADER_BYTES, Ids, IdType

OPEN_FILES = 256
POINTER_BYTES = 8


class _OpenFile:
    """A file that is open for reading until nobody refers to it. `identity` changes when another file takes its place."""

    def __init__(self, path: str) -> None:
        self.descriptor = files.descriptor(Path(path))
        found = os.fstat(self.descriptor)
        self.identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@dataclass(kw_only=True, eq=False)
class _Checked:
    """Which blocks of a payload have been compared with their hashes. It holds for the file with this `identity`."""

    identity: tuple[int, ...] = ()
    blocks: bytearray = field(default_factory=bytearray)
    index: bool = False


@functools.lru_cache(maxsize=OPEN_FILES)
def _opened(path: str, reader: _Checked) -> _OpenFile:
    """Open a file for one reader. Each reader opens its own files, so a later reader sees the files that are there then."""
    return _OpenFile(path)


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """One .bin with its side files. `root`: the folder of the store. `first_token`: where the shard begins in the split."""

    root: Path
    payload: Named
    blocks: Named
    index: Named
    documents: Named
    first_token: int
    dtype: IdType
    forgotten: npt.NDArray[np.int64] = field(compare=False)
    """Spans of tokens to mask: int64 [spans, 2], from the first to the one after the last; sorted and disjoint."""
    lease: Lease | None = field(default=None, repr=False, compare=False)
    """What keeps the version of the corpus that the shard is in from being removed."""
    _checked: _Checked = field(default_factory=_Checked, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a reader that is sent to another process opens and checks the files there."""
        return {"_checked": _Checked(), **{item.name: getattr(self, item.name) for item in fields(self) if item.init}}

    @functools.cached_property
    def path(self) -> Path:
        """The .bin file."""
        return self.root / self.payload[0]

    @functools.cached_property
    def tokens(self) -> int:
        """The number of tokens in the shard."""
        return self.payload[1].bytes // self.dtype.itemsize

    @property
    def ids(self) -> Ids:
        """All ids, memory-mapped and unchecked. [tokens] Raises CorruptFile."""
        try:
            with files.reading(self.path) as handle:
                return np.memmap(handle, dtype=self.dtype, mode="r")
        except OSError as error:
            raise files.unreadable(self.root, self.path, error) from error

    @functools.cached_property
    def hashes(self) -> bytes:
        """The hash of each block, end to end. Raises CorruptFile."""
        return files.read_verified(self.root, *self.blocks)

    def read(self, start: int, stop: int) -> Ids:
        """A copy of the ids [start, stop) of this shard. Raises CorruptFile, naming the block, when its bytes have changed."""
        out = np.empty(stop - start, self.dtype)
        self.read_into(start, out)
        return out

    def read_into(self, start: int, out: Ids) -> None:
        """Fill `out` (contiguous, of the store's dtype) with the ids from `start` on. Raises CorruptFile."""
        first_byte = start * self.dtype.itemsize
        found = self._open(self._payload)
        checked = self._checked
        if checked.identity != found.identity:
            checked.identity, checked.blocks = found.identity, bytearray(-(-self.payload[1].bytes // BLOCK_BYTES))
        for block in range(first_byte // BLOCK_BYTES, (first_byte + out.nbytes - 1) // BLOCK_BYTES + 1):
            if not checked.blocks[block]:
                self._check(block, found)
                checked.blocks[block] = 1
        if os.preadv(found.descriptor, [out.data], first_byte) != out.nbytes:
            raise CorruptFile(f"{files.known_as(self.path)}: was cut while it was read; run the build again to make it anew")

    def document_at(self, token: int) -> tuple[int, int]:
        """The first token of the document that contains `token`, and the one after its last. Raises CorruptFile.

        It is a binary search in the .idx, whose hash is compared at the first call.
        """
        found = self._open(str(self.root / self.index[0]))
        if not self._checked.index:
            files.read_verified(self.root, *self.index)
            self._checked.index = True
        documents = self.documents[1].rows or 0
        pointers = INDEX_HEADER_BYTES + 4 * documents

        def begins(row: int) -> int:
            data = os.pread(found.descriptor, POINTER_BYTES, pointers + POINTER_BYTES * row)
            return int.from_bytes(data, "little") // self.dtype.itemsize

        low, high = 0, documents
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if begins(middle) <= token else (low, middle)
        return begins(low), begins(high) if high < documents else self.tokens

    @functools.cached_property
    def _payload(self) -> str:
        return str(self.path)

    def _open(self, path: str) -> _OpenFile:
        try:
            return _opened(path, self._checked)
        except OSError as error:
            raise files.unreadable(self.root, Path(path), error) from error

    def _check(self, block: int, opened: _OpenFile) -> None:
        data = os.pread(opened.descriptor, BLOCK_BYTES, block * BLOCK_BYTES)
        wanted = self.hashes[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]
        found = hashlib.sha256(data).digest()
        if found != wanted:
            begin, shown = block * BLOCK_BYTES, files.known_as(self.path)
            raise CorruptFile(
                f"{shown}: block {block} (bytes {begin} to {begin + len(data)}) has SHA-256 "
                f"{found.hex()}, {self.blocks[0]} names {wanted.hex()}; run the build again to make it anew"
            )
