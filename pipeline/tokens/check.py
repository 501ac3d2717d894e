"""Check that a token store is complete and agrees with itself, its tokenizer and the text it was made from.

Guarantee: a changed, cut or missing byte is found, and the file and the block are named. The check also finds an id outside the
vocabulary, a document without its end-of-text, an index or a table that disagrees with the payload, a document that is packed
twice or not at all, and a wrong list of forgotten documents. With a decoder, it decodes a sample of the documents; with the
text too, it compares them with the stored text after edits.
Cost: one read of every file (about 1 GB/s: each block is hashed for itself and for the file while it is in the cache), and one
shard of text for each token shard. Memory: the tables of one shard.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import files, manifest, shards
from tokenmill.pipeline.base.errors import CorruptFile, InputError, Misaligned, TokenmillError
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.format import BLOCK_BYTES, DIGEST_BYTES, DOCUMENTS, FOLDER, blocks, content_hash, index, offsets
from tokenmill.pipeline.tokens.shard import TokenShard
from tokenmill.pipeline.tokens.store import TokenStore

Decoder = Callable[[npt.NDArray[Any]], bytes]
"""Turns ids into the bytes that they stand for."""
EncodeAnew = Callable[[pa.Array], tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]]
"""Encodes texts; see `tokens.encoder.Encoder.encode`."""


def problems(
    path: Path,
    *,
    decode: Decoder | None = None,
    sample_documents: int = 64,
    seed: int = 0,
    tokenizer: str | None = None,
    texts: Mapping[str, View] | None = None,
    encode: EncodeAnew | None = None,
) -> Iterator[str]:
    """Find what is wrong with the token store at `path` (as for `TokenStore.open`). Each line begins with the path of a file.

    `decode` and `tokenizer`: the decoder and the fingerprint of the tokenizer. With `decode`, up to `sample_documents`
    documents of each token shard, all from one shard of documents, are decoded and compared with their hashes. With `texts`,
    the shards of documents as packing saw them, they are also compared with the text. With `encode`, for a tokenizer whose ids
    do not decode to the exact text, ids are right if the text gives them when it is encoded anew.
    """
    try:
        # Exactly this one: a corpus is checked under the names in its folder too.
        store = TokenStore.of(path / FOLDER if (path / FOLDER).is_dir() else path, tokenizer=tokenizer)
        yield from forget.problems(store.folder, store.manifest, listed_in=store.home)
    except TokenmillError as error:
        yield str(error)
        return
    packed: Counter[str] = Counter()
    sound = True
    own: set[str] = set()
    for split in store.splits:
        for shard in split.shards:
            own.update(f"{FOLDER}/{name}" for name, _ in (shard.payload, shard.blocks, shard.index, shard.documents))
            wrong, documents = _shard_problems(store, shard)
            yield from wrong
            if wrong or documents is None:
                sound = False
                continue
            packed.update({one["values"]: one["counts"] for one in documents["shard"].value_counts().to_pylist()})
            if decode is not None:
                draw = np.random.default_rng([seed, shard.first_token])
                yield from _decoding_problems(shard, documents, decode, draw, sample_documents, texts, encode)
    for name, entry in store.manifest.entries():
        if name not in own and not files.holds(store.folder, name.removeprefix(f"{FOLDER}/"), entry):
            yield f"{store.folder / name.removeprefix(f'{FOLDER}/')}: other bytes than its manifest names"
    for one in store.manifest.shards if sound else ():
        if packed[one.name] != one.counts.kept:
            where = store.folder / manifest.NAME
            yield f"{where}: names {one.counts.kept} documents of {one.name}, the token shards hold {packed[one.name]}"


def _shard_problems(store: TokenStore, shard: TokenShard) -> tuple[list[str], pa.Table | None]:
    """The problems of one shard, and its documents table if the table can be read."""
    wrong, ends = _payload_problems(store, shard)
    try:
        found = files.read_verified(shard.root, *shard.index)
        documents = shards.read(shard.root, shard.documents)
    except CorruptFile as error:
        return [*wrong, str(error)], None
    if not documents.schema.equals(DOCUMENTS):
        return [*wrong, f"{shard.root / shard.documents[0]}: other columns than a documents table of tokens has"], None
    tokens = documents["tokens"].to_numpy()
    wanted = index(tokens, shard.dtype)
    if found != wanted:
        at = next((place for place, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), len(wanted))
        wrong.append(
            f"{shard.root / shard.index[0]}: differs at byte {at} from the index of the documents in {shard.documents[0]}"
        )
    return [*wrong, *_document_problems(store, shard, documents, ends)], documents


def _payload_problems(store: TokenStore, shard: TokenShard) -> tuple[list[str], int]:
    """Check the hash and the range of ids of each block, and the hash of the whole file, in one pass.

    Returns the problems, and the number of end-of-text ids.
    """
    wrong: list[str] = []
    size = shard.payload[1].bytes
    try:
        hashes = shard.hashes
    except CorruptFile as error:
        wrong, hashes = [str(error)], b""
    if not wrong and len(hashes) != DIGEST_BYTES * -(-size // BLOCK_BYTES):
        wrong = [f"{shard.root / shard.blocks[0]}: {len(hashes)} bytes of hashes for {size} bytes of tokens"]
    known = not wrong
    whole, changed, ends = hashlib.sha256(), False, 0
    payload = shard.ids.view(np.uint8)
    for number, start, end in blocks(size):
        block, where = payload[start:end], f"{shard.path}: block {number} (bytes {start} to {end})"
        whole.update(block.data)
        if known and hashlib.sha256(block.data).digest() != hashes[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]:
            changed = True
            wrong.append(f"{where} holds other bytes than were packed")
        ids = block.view(shard.dtype)
        highest = int(ids.max())
        if highest >= store.vocabulary:
            wrong.append(f"{where} holds id {highest}, the vocabulary is {store.vocabulary}")
        ends += int(np.count_nonzero(ids == store.end_of_text))
    if not changed and whole.hexdigest() != shard.payload[1].sha256:
        wrong.append(f"{shard.path}: other bytes than its manifest names")
    return wrong, ends


def _document_problems(store: TokenStore, shard: TokenShard, documents: pa.Table, ends: int) -> Iterator[str]:
    """Check that documents follow each other without gaps, fill the payload, and have one end-of-text each, at the end."""
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
    if ends != len(tokens):
        yield f"{shard.path}: {ends} end-of-text ids for {len(tokens)} documents"


def _decoding_problems(
    shard: TokenShard,
    documents: pa.Table,
    decode: Decoder,
    draw: np.random.Generator,
    sample: int,
    texts: Mapping[str, View] | None,
    encode: EncodeAnew | None,
) -> Iterator[str]:
    names = documents["shard"].unique().to_pylist()
    name = names[int(draw.integers(len(names)))]
    rows = np.flatnonzero(documents["shard"].cast(pa.string()).to_numpy() == name)
    rows = np.sort(draw.choice(rows, size=min(sample, len(rows)), replace=False))
    stored: dict[int, tuple[bytes, str]] | None = None
    if texts is not None:
        if name not in texts:
            yield f"{shard.root / shard.documents[0]}: row {rows[0]} comes from {name}, which the corpus does not hold"
            return
        try:
            alive = texts[name].read()
        except (CorruptFile, Misaligned) as error:
            yield str(error)
            return
        pairs = zip(alive.table["doc_id"].to_pylist(), alive.table["text"].to_pylist(), strict=True)
        stored = dict(zip(alive.rows.tolist(), pairs, strict=True))
    for document in documents.take(pa.array(rows)).to_pylist():
        start, stop = document["token_offset"], document["token_offset"] + document["tokens"] - 1
        where = f"{shard.path}: the tokens {start} to {stop} do not give back"
        # `read` is not needed here: every block has just been compared with its hash.
        ids = np.array(shard.ids[start:stop])
        wanted = stored.get(document["row"]) if stored is not None else None
        try:
            anew = encode is not None and wanted is not None and _gives(wanted[1], ids, encode)
            text = wanted[1].encode() if anew and wanted is not None else decode(ids)
        except InputError as error:
            yield f"{where} a text ({error})"
            continue
        if content_hash(text) != document["content_hash"] or len(text) != document["text_bytes"]:
            yield f"{where} the text of document {document['doc_id'].hex()}"
        elif stored is not None and (wanted is None or wanted[0] != document["doc_id"] or wanted[1].encode() != text):
            yield f"{where} what row {document['row']} of {name} holds of document {document['doc_id'].hex()}"


def _gives(text: str, ids: npt.NDArray[Any], encode: EncodeAnew) -> bool:
    return np.array_equal(encode(pa.array([text], pa.large_string()))[0], ids)
