"""The format of the token store: names, types, the index, block hashes, and which documents go to validation.

    tokens/<split>/00000.bin            ids, little-endian, no header; each document ends with the end-of-text id
                   00000.idx            Megatron's MMIDIDX, version 1: one sequence per document
                   00000.docs.parquet   one row per document (DOCUMENTS)
                   00000.blocks         SHA-256 of each MiB of the .bin, 32 raw bytes each
           manifest.json                names and hashes of all of them; vocabulary, tokenizer, totals

A token shard holds documents of one source, and the shards of a source follow each other. So a source is one run of tokens in
its split: a mixture needs no list of documents, a window of one source never holds tokens of another, and removing a source
touches only its own shards.

Guarantee: Megatron-LM, datatrove and nanotron, OLMo-core and nanoGPT read the payload without conversion.
Cost: none; the functions here only compute on their arguments.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from tokenmill.pipeline.base import schema

IdType = np.dtype[np.unsignedinteger[Any]]
"""uint16 or uint32, little-endian."""
Ids = npt.NDArray[np.unsignedinteger[Any]]
SplitName = Literal["train", "val"]
SPLITS: tuple[SplitName, ...] = ("train", "val")

FOLDER = "tokens"
BLOCK_BYTES = 2**20
DIGEST_BYTES = 32

DOCUMENTS = pa.schema(
    [
        schema.DOC_ID,
        pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("url", pa.string()),
        pa.field("shard", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("token_offset", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("text_bytes", pa.int64(), nullable=False),
        pa.field("content_hash", pa.binary(16), nullable=False),
    ]
)
"""One row per document of a token shard.

`shard` and `row` are its place in the documents tables, `token_offset` is its first token in the .bin, `tokens` includes
end-of-text, and `content_hash` is of the text that was encoded (edits applied).
"""

LONGEST_TOKENS = 2**31 - 1
"""The .idx stores the length of a document, its end-of-text included, as int32."""

INDEX_HEADER_BYTES = 34
_INDEX_MAGIC = b"MMIDIDX\x00\x00"
_INDEX_VERSION = 1
# The format has no code for uint32. Ids stay below 2**31, so int32 has the same bytes.
_INDEX_CODES = {"uint16": 8, "uint32": 4}


def dtype_for(vocabulary: int) -> IdType:
    """The type of ids below `vocabulary`: little-endian uint16 where they fit, else uint32."""
    return np.dtype("<u2") if vocabulary <= 2**16 else np.dtype("<u4")


def name_of(split: str, number: int, kind: Literal["bin", "idx", "docs.parquet", "blocks"]) -> str:
    """The path of a file of token shard `number`, relative to the corpus folder."""
    return f"{FOLDER}/{split}/{number:05d}.{kind}"


def index(tokens: npt.NDArray[np.int64], dtype: IdType) -> bytes:
    """The .idx of a shard. `tokens`: the length of each document, end-of-text included, int64 [documents].

    Layout after Megatron-LM, megatron/core/datasets/indexed_dataset.py (_IndexWriter): 9 bytes of magic, version u64, dtype
    code u8, sequences u64, length of the document index u64 (documents + 1); then sizes in tokens int32[sequences], pointers in
    bytes int64[sequences], document index int64[documents + 1]. All little-endian.
    """
    documents = len(tokens)
    header = struct.pack("<9sQBQQ", _INDEX_MAGIC, _INDEX_VERSION, _INDEX_CODES[dtype.name], documents, documents + 1)
    pointers = offsets(tokens) * dtype.itemsize
    return b"".join(
        (
            header,
            tokens.astype("<i4").tobytes(),
            pointers.astype("<i8").tobytes(),
            np.arange(documents + 1, dtype="<i8").tobytes(),
        )
    )


def offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The start of each of consecutive runs with these lengths. int64 [runs]"""
    return np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64) if len(lengths) else np.zeros(0, dtype=np.int64)


def content_hash(text: bytes | memoryview) -> bytes:
    """The 128-bit XXH3 of a document's text in UTF-8, as it was encoded; big-endian bytes.

    It tells documents apart and finds accidental changes, at 30 GB/s. SHA-256 in the manifest guards against intended ones.
    """
    return xxhash.xxh3_128_digest(text)


def places(doc_ids: pa.ChunkedArray, *, purpose: bytes = b"tokenmill.split") -> npt.NDArray[np.uint64]:
    """A place in [0, 2**64) for each document, uint64 [documents].

    It is a hash of the `doc_id` alone, so places are uniform and never change. Those for different purposes (at most 16 bytes)
    have nothing to do with each other.
    """
    empty, digests = hashlib.blake2b(digest_size=8, person=purpose), []
    for doc_id in doc_ids.to_pylist():
        digest = empty.copy()
        digest.update(doc_id)
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64, copy=False)


def first_place_of_train(fraction: float) -> int:
    """The first place that belongs to the training split; lower places belong to validation.

    A larger `fraction` (below 1) therefore only adds documents to validation.
    """
    return int(fraction * 2**64)


class BlockHashes:
    """The SHA-256 of each MiB of a stream of bytes that arrives in pieces of any size."""

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._digest = hashlib.sha256()
        self._filled = 0

    def update(self, data: memoryview | bytes) -> None:
        """Add the next bytes of the stream."""
        view = memoryview(data).cast("B")
        while view:
            piece, view = view[: BLOCK_BYTES - self._filled], view[BLOCK_BYTES - self._filled :]
            self._digest.update(piece)
            self._filled += len(piece)
            if self._filled == BLOCK_BYTES:
                self._close()

    def finish(self) -> bytes:
        """All hashes end to end. The last block may be shorter than a MiB."""
        if self._filled:
            self._close()
        return b"".join(self._done)

    def _close(self) -> None:
        self._done.append(self._digest.digest())
        self._digest, self._filled = hashlib.sha256(), 0


def blocks(size_bytes: int) -> Iterator[tuple[int, int, int]]:
    """(number, first byte, end byte) of each block of a file of this size."""
    for number, start in enumerate(range(0, size_bytes, BLOCK_BYTES)):
        yield number, start, min(start + BLOCK_BYTES, size_bytes)
