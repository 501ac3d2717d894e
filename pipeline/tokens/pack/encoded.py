"""Encode one shard of documents: its ids end to end, and one row per surviving document.

Guarantee: each document becomes the ids of its text and one end-of-text, so a document without text is one token; one of 2**31
tokens or more is refused. Documents are in the order of their places (`tokens.format.places`), so both splits, and the token
shards of shuffled documents, are ranges. Each row has a checksum of its ids, so a part can be read alone. An encoded shard
depends on the tokenizer, the text and the verdicts alone: it stays valid when the split or the token shards change.
Cost: encoding at close to the encoder's rate; memory is the shard's text and its ids.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from tokenmill.pipeline.base import files, manifest, shards, state
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, InputError, Misaligned
from tokenmill.pipeline.base.manifest import PACK, Counts, Shard
from tokenmill.pipeline.base.shards import Alive, Named, View
from tokenmill.pipeline.kernels.bpe.token_ids import lay_documents
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.stage import one_batch
from tokenmill.pipeline.tokens import DOCUMENTS, LONGEST_TOKENS, Ids, IdType, SplitName, content_hash, dtype_for, offsets
from tokenmill.pipeline.tokens.encoder import Encoder
from tokenmill.pipeline.tokens.format import first_place_of_train, places

VERSION = 3

ENCODED = pa.schema([*DOCUMENTS, *(pa.field(name, pa.uint64(), nullable=False) for name in ("place", "checksum"))])
"""`token_offset` is the document's place in the shard's own payload; `checksum` is the 64-bit XXH3 of its ids there."""


@dataclass(frozen=True, kw_only=True)
class EncodeTask:
    """One shard of documents to encode. Picklable."""

    view: View
    encoder: Encoder
    validation_fraction: float
    censor: Censor = field(default_factory=Censor)
    """Hides personal data in the URLs."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An encoded shard of documents, and the number of tokens for each split."""

    shard: Shard
    tokens: dict[SplitName, int]
    recomputed: bool

    @property
    def source(self) -> str:
        """The source of its documents."""
        return self.shard.source

    @property
    def documents(self) -> Named:
        """The table of its documents."""
        return _table(self.shard)

    @property
    def payload(self) -> str:
        """The name of the file that holds its ids."""
        return _payload(self.shard.name)


def encode_shard(task: EncodeTask) -> Encoded:
    """Encode the surviving rows of one shard, or return the stored result if it is current.

    Raises ConfigError, CorruptFile, Misaligned.
    """
    view, encoder = task.view, task.encoder
    settings = {"tokenizer": encoder.fingerprint, "end_of_text": encoder.end_of_text, "vocabulary": encoder.vocabulary}
    settings |= task.censor.identity
    identity = manifest.fingerprint(PACK, VERSION, settings, view.identity)
    shard = state.finished(view.root, state.load(state.path_of(view.root, PACK, view.name)), identity)
    documents = None if shard is None else _intact(view.root, shard, dtype_for(encoder.vocabulary))
    recomputed = shard is None or documents is None
    if shard is None or documents is None:
        shard, documents = _encode(view, encoder, task.censor)
        state.record_shard(view.root, PACK, shard, identity)
    tokens = documents["tokens"].to_numpy()
    validation = documents["place"].to_numpy() < first_place_of_train(task.validation_fraction)
    totals: dict[SplitName, int] = {"train": int(tokens[~validation].sum()), "val": int(tokens[validation].sum())}
    return Encoded(shard=shard, tokens=totals, recomputed=recomputed)


def _payload(shard: str) -> str:
    return f".state/{PACK}/{shard}.bin"


def _table(shard: Shard) -> Named:
    (named,) = shard.files.items()
    return named


def _intact(root: Path, shard: Shard, dtype: IdType) -> pa.Table | None:
    """The documents table of an encoded shard; None if its ids do not match their checksums."""
    documents = shards.read(root, _table(shard))
    try:
        bodies(root / _payload(shard.name), documents, dtype)
    except CorruptFile:
        return None
    return documents


def bodies(path: Path, documents: pa.Table, dtype: IdType) -> list[Ids]:
    """Read the ids of each of `documents` (schema `ENCODED`) from the payload `path`.

    Only the range that contains them is read. Raises CorruptFile when ids do not match the checksum in their row.
    """
    if not documents.num_rows:
        return []
    starts: npt.NDArray[np.int64] = documents["token_offset"].to_numpy()
    ends = starts + documents["tokens"].to_numpy()
    first, last = int(starts.min()), int(ends.max())
    try:
        ids: Ids = np.fromfile(path, dtype=dtype, count=last - first, offset=first * dtype.itemsize)
    except OSError as error:
        raise CorruptFile(f"{path}: cannot be read ({error.strerror}); run the build again to make it anew") from error
    if len(ids) < last - first or (_checksums(ids, starts - first, ends - first) != documents["checksum"].to_numpy()).any():
        raise CorruptFile(f"{path}: does not hold the ids that were encoded; run the build again to make it anew")
    return [ids[start:end] for start, end in zip((starts - first).tolist(), (ends - first).tolist(), strict=True)]


def _encode(view: View, encoder: Encoder, censor: Censor) -> tuple[Shard, pa.Table]:
    """Encode a shard. Returns the shard and its table of documents."""
    alive = view.read(("doc_id", "source", "url", "text"))
    # Not `combine_chunks` of the column, which copies it even if it is one chunk.
    doc_ids, texts = alive.table["doc_id"], one_batch(alive.table)["text"]
    ids, counts = encoder.encode(texts)
    if len(counts) != len(doc_ids) or counts.sum() != len(ids):
        raise Misaligned(
            f"{view.name}: the encoder gave {len(ids)} ids and {len(counts)} counts with the sum {counts.sum()} "
            f"for {len(doc_ids)} documents"
        )
    _check_length(counts, doc_ids, view)
    place = places(doc_ids)
    order = np.argsort(place, kind="stable")
    payload = np.empty(len(ids) + len(counts), dtype=dtype_for(encoder.vocabulary))
    highest, ends = lay_documents(ids, offsets(counts)[order], counts[order], encoder.end_of_text, payload)
    if highest >= encoder.vocabulary:
        raise ConfigError(f"{view.name}: the tokenizer gave the id {highest}, but has only {encoder.vocabulary} ids")
    if ends:
        row = int(np.searchsorted(np.cumsum(counts), np.argmax(ids == encoder.end_of_text), side="right"))
        raise ConfigError(
            f"{view.name}: the tokenizer turns text of document {doc_ids[row].as_py().hex()} into its end-of-text id "
            f"{encoder.end_of_text}, so that documents could not be told apart; use a tokenizer whose merges do not make it"
        )
    alive = dataclasses.replace(alive, table=censor.table(alive.table))
    documents = _documents(alive, view.name, texts, counts + 1, place, order, payload)
    name = f".state/{PACK}/{view.name}.docs.parquet"
    # The rows have checksums of all its ids.
    with files.create(view.root / _payload(view.name), durable=False, hashed=False) as out:
        out.write(payload)
    text_bytes = int(pc.sum(documents["text_bytes"], min_count=0).as_py())
    shard = Shard(
        name=view.name,
        files={name: shards.write(view.root, name, documents, durable=False)},
        counts=Counts(read=len(counts), kept=len(counts), bytes_in=text_bytes, bytes_kept=text_bytes),
    )
    return shard, documents


def _check_length(counts: npt.NDArray[np.int64], doc_ids: pa.ChunkedArray, view: View) -> None:
    """Raises InputError for a document that is too long."""
    longest = int(counts.argmax()) if len(counts) else 0
    if len(counts) and counts[longest] >= LONGEST_TOKENS:
        raise InputError(
            f"{view.name}: document {doc_ids[longest].as_py().hex()} has {counts[longest] + 1} tokens with its end-of-text, "
            f"and the index of a token shard counts to {LONGEST_TOKENS}; divide it before it is collected, or leave it out"
        )


def _documents(
    alive: Alive,
    shard: str,
    texts: pa.Array,
    tokens: npt.NDArray[np.int64],
    place: npt.NDArray[np.uint64],
    order: npt.NDArray[np.int64],
    payload: Ids,
) -> pa.Table:
    """The table of an encoded shard (schema `ENCODED`), with its rows in `order`.

    `alive`, `texts`, `tokens` and `place` come in the order of the text; `payload` is already in the new order.
    """
    columns: dict[str, Any] = {name: alive.table[name].take(pa.array(order)) for name in ("doc_id", "source", "url")}
    tokens = tokens[order]
    starts = offsets(tokens)
    columns |= {
        "row": alive.rows[order],
        "place": place[order],
        "shard": pa.repeat(shard, len(tokens)).dictionary_encode(),
        "token_offset": starts,
        "tokens": tokens,
        "text_bytes": pc.binary_length(texts).take(pa.array(order)),
        "content_hash": pa.array(_content_hashes(texts), pa.binary(16)).take(pa.array(order)),
        "checksum": _checksums(payload, starts, starts + tokens),
    }
    return pa.table([columns[name] for name in ENCODED.names], ENCODED.names).cast(ENCODED)


def _checksums(ids: Ids, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The 64-bit XXH3 of the bytes of each span of `ids`. uint64 [spans]"""
    data, size = ids.data.cast("B"), ids.dtype.itemsize
    pairs = zip((starts * size).tolist(), (ends * size).tolist(), strict=True)
    return np.array([xxhash.xxh3_64_intdigest(data[start:end]) for start, end in pairs], dtype=np.uint64)


def _content_hashes(texts: pa.Array) -> list[bytes]:
    """The content hash of each text in an array of large strings."""
    if not len(texts):
        return []
    _, starts, data = texts.buffers()
    edges = np.frombuffer(starts, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1].tolist()
    text = memoryview(data or b"")
    return [content_hash(text[start:end]) for start, end in pairwise(edges)]
