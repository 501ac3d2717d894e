"""Whether a token store is whole and agrees with itself.

Guarantee: a changed, cut or missing byte is found, and the file and the block are named; so is an id outside the
vocabulary, a document without its end, an index or a table that disagrees with the payload, and, where a decoder is given,
a document of the sample whose tokens do not give back its text.
Cost: one read of every file (about 1 GB/s); memory is the tables of one shard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline import files, shards
from pipeline.errors import CorruptFile, TokenmillError
from pipeline.tokens.format import BLOCK_BYTES, DIGEST_BYTES, DOCUMENTS, blocks, content_hash, index, offsets
from pipeline.tokens.store import TokenShard, TokenStore

Decoder = Callable[[npt.NDArray[Any]], bytes]
"""From ids to the bytes that they stand for."""


def problems(
    folder: Path, *, decode: Decoder | None = None, sample_documents: int = 64, seed: int = 0, tokenizer: str | None = None
) -> Iterator[str]:
    """What is wrong with the token store in `folder`: one line each, beginning with the path of the file.

    `decode` and `tokenizer`: those of the tokenizer; of each shard, `sample_documents` are then decoded and compared.
    """
    try:
        store = TokenStore.open(folder, tokenizer=tokenizer)
    except TokenmillError as error:
        yield str(error)
        return
    for split in store.splits:
        for shard in split.shards:
            found = list(_shard_problems(store, shard))
            yield from found
            if not found and decode is not None:
                yield from _decoding_problems(shard, decode, np.random.default_rng([seed, shard.first_token]), sample_documents)


def _shard_problems(store: TokenStore, shard: TokenShard) -> Iterator[str]:
    try:
        hashes = shard.hashes
        found = files.read_verified(shard.root, *shard.index)
        documents = shards.read(shard.root, shard.documents)
    except CorruptFile as error:
        yield str(error)
        return
    yield from _payload_problems(store, shard, hashes)
    if not documents.schema.equals(DOCUMENTS):
        yield f"{shard.root / shard.documents[0]}: other columns than a documents table of tokens has"
        return
    tokens = documents["tokens"].to_numpy()
    wanted = index(tokens, shard.dtype)
    if found != wanted:
        at = next((place for place, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), len(wanted))
        yield f"{shard.root / shard.index[0]}: differs at byte {at} from the index of the documents in {shard.documents[0]}"
    yield from _document_problems(store, shard, documents)


def _payload_problems(store: TokenStore, shard: TokenShard, hashes: bytes) -> Iterator[str]:
    """Hash and id range of each block, and the hash of the whole file, in one pass."""
    size = shard.payload[1].bytes
    if len(hashes) != DIGEST_BYTES * -(-size // BLOCK_BYTES):
        yield f"{shard.root / shard.blocks[0]}: {len(hashes)} bytes of hashes for {size} bytes of tokens"
        return
    whole, changed = hashlib.sha256(), False
    payload = shard.ids.view(np.uint8)
    for number, start, end in blocks(size):
        block, where = payload[start:end], f"{shard.path}: block {number} (bytes {start} to {end})"
        whole.update(block.data)
        if hashlib.sha256(block.data).digest() != hashes[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]:
            changed = True
            yield f"{where} holds other bytes than were packed"
        highest = int(block.view(shard.dtype).max())
        if highest >= store.vocabulary:
            yield f"{where} holds id {highest}, the vocabulary is {store.vocabulary}"
    if not changed and whole.hexdigest() != shard.payload[1].sha256:
        yield f"{shard.path}: other bytes than its manifest names"


def _document_problems(store: TokenStore, shard: TokenShard, documents: pa.Table) -> Iterator[str]:
    """Documents follow each other without gaps, fill the payload, and each ends with the one end-of-text that it has."""
    tokens, token_offset = documents["tokens"].to_numpy(), documents["token_offset"].to_numpy()
    where = f"{shard.root / shard.documents[0]}"
    if tokens.size == 0 or tokens.min() < 1 or int(tokens.sum()) != shard.tokens:
        yield f"{where}: {len(tokens)} documents of {int(tokens.sum())} tokens, {shard.path.name} holds {shard.tokens}"
        return
    wrong = np.flatnonzero(token_offset != offsets(tokens))
    if wrong.size:
        yield f"{where}: row {wrong[0]} begins at token {token_offset[wrong[0]]}, not where the document before it ends"
    last = offsets(tokens) + tokens - 1
    open_ended = np.flatnonzero(shard.ids[last] != store.end_of_text)
    if open_ended.size:
        row = int(open_ended[0])
        at = int(last[row])
        yield f"{shard.path}: token {at} (byte {at * shard.dtype.itemsize}) is not the end-of-text of the document in row {row}"
    ends = sum(
        int(np.count_nonzero(shard.ids[start : start + BLOCK_BYTES] == store.end_of_text))
        for start in range(0, shard.tokens, BLOCK_BYTES)
    )
    if ends != len(tokens):
        yield f"{shard.path}: {ends} end-of-text ids for {len(tokens)} documents"


def _decoding_problems(shard: TokenShard, decode: Decoder, draw: np.random.Generator, sample: int) -> Iterator[str]:
    documents = shards.read(shard.root, shard.documents)
    rows = np.sort(draw.choice(documents.num_rows, size=min(sample, documents.num_rows), replace=False))
    for row in rows.tolist():
        start, tokens = documents["token_offset"][row].as_py(), documents["tokens"][row].as_py()
        text = decode(shard.read(start, start + tokens - 1))
        if content_hash(text) != documents["content_hash"][row].as_py() or len(text) != documents["text_bytes"][row].as_py():
            yield (
                f"{shard.path}: the tokens {start} to {start + tokens - 1} do not give back the text of document "
                f"{documents['doc_id'][row].as_py().hex()}"
            )
