"""One shard of documents, encoded: its ids end to end, and one row per surviving document.

Guarantee: each document is its text's ids and one end-of-text, so a document without text is one token; one of 2**31 tokens
or more is refused. Documents stand in the order of their places (`tokens.format.places`), in which both splits and the token
shards of shuffled documents are ranges, and each row has a checksum of its ids, so that a part can be read alone. An encoded
shard depends on the tokenizer, the text and the verdicts alone: it outlives a change of the split or of the token shards.
Cost: encoding at close to the encoder's rate; memory is the shard's text and its ids.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import files, manifest, shards, state
from pipeline.errors import ConfigError, InputError
from pipeline.manifest import Counts, Shard
from pipeline.shards import Named, View
from pipeline.stage import Encoder
from pipeline.tokens import DOCUMENTS, LONGEST_TOKENS, Ids, SplitName, content_hash, dtype_for, offsets
from pipeline.tokens.format import first_place_of_train, places

STAGE = "pack"
VERSION = 2

ENCODED = DOCUMENTS.append(pa.field("place", pa.uint64(), nullable=False)).append(pa.field("crc", pa.uint32(), nullable=False))
"""`token_offset` is the place in the shard's own payload, `crc` the CRC-32 of the document's ids as they stand there."""


@dataclass(frozen=True, kw_only=True)
class EncodeTask:
    """One shard of documents to encode. Picklable."""

    view: View
    encoder: Encoder
    validation_fraction: float


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An encoded shard of documents, and how many tokens each split gets."""

    shard: Shard
    tokens: dict[SplitName, int]
    recomputed: bool

    @property
    def source(self) -> str:
        """Whose documents they are."""
        return self.shard.name.partition("/")[0]

    @property
    def payload(self) -> Named:
        """Its ids."""
        return _named(self.shard, ".bin")

    @property
    def documents(self) -> Named:
        """The table of its documents."""
        return _named(self.shard, ".docs.parquet")


def _named(shard: Shard, suffix: str) -> Named:
    return next((name, entry) for name, entry in shard.files.items() if name.endswith(suffix))


def encode_shard(task: EncodeTask) -> Encoded:
    """Encode the rows alive of one shard, or find that it is done. Raises ConfigError, CorruptFile, Misaligned."""
    view, encoder = task.view, task.encoder
    settings = {"tokenizer": encoder.fingerprint, "end_of_text": encoder.end_of_text, "vocabulary": encoder.vocabulary}
    identity = manifest.fingerprint(STAGE, VERSION, settings, view.identity)
    done = state.finished(view.root, state.load(state.path_of(view.root, STAGE, view.name)), identity)
    shard = done if done is not None else _encode(view, encoder)
    if done is None:
        state.record_shard(view.root, STAGE, shard, identity)
    table = shards.read(view.root, _named(shard, ".docs.parquet"), ["place", "tokens"])
    tokens = table["tokens"].to_numpy()
    validation = table["place"].to_numpy() < first_place_of_train(task.validation_fraction)
    totals: dict[SplitName, int] = {"train": int(tokens[~validation].sum()), "val": int(tokens[validation].sum())}
    return Encoded(shard=shard, tokens=totals, recomputed=done is None)


def _encode(view: View, encoder: Encoder) -> Shard:
    alive = view.read(("doc_id", "source", "url", "text"))
    place = places(alive.table["doc_id"])
    order = np.argsort(place, kind="stable")
    table = alive.table.append_column("place", pa.array(place)).append_column("row", pa.array(alive.rows)).take(pa.array(order))
    texts = table["text"].combine_chunks()
    ids, counts = encoder.encode(texts)
    _check(ids, counts, table["doc_id"], view, encoder)
    payload = _with_ends(ids, counts, encoder)
    documents = _documents(table, view.name, texts, counts + 1, payload)
    payload_name, documents_name = f".state/{STAGE}/{view.name}.bin", f".state/{STAGE}/{view.name}.docs.parquet"
    with files.create(view.root / payload_name) as out:
        out.write(payload)
    text_bytes = int(pc.sum(documents["text_bytes"], min_count=0).as_py())
    return Shard(
        name=view.name,
        files={payload_name: out.entry(), documents_name: shards.write(view.root, documents_name, documents)},
        counts=Counts(read=len(counts), kept=len(counts), bytes_in=text_bytes, bytes_kept=text_bytes),
    )


def _check(
    ids: npt.NDArray[np.uint32], counts: npt.NDArray[np.int64], doc_ids: pa.ChunkedArray, view: View, encoder: Encoder
) -> None:
    """Raises InputError for a document that is too long, ConfigError when the tokenizer makes an end-of-text out of text."""
    assert len(counts) == len(doc_ids), f"{view.name}: {len(counts)=} {len(doc_ids)=}"
    _check_length(counts, doc_ids, view)
    assert counts.sum() == len(ids), f"{view.name}: {int(counts.sum())=} {len(ids)=}"
    assert len(ids) == 0 or ids.max() < encoder.vocabulary, f"{view.name}: {int(ids.max())=} {encoder.vocabulary=}"
    ends = np.flatnonzero(ids == encoder.end_of_text)
    if ends.size:
        row = int(np.searchsorted(np.cumsum(counts), ends[0], side="right"))
        raise ConfigError(
            f"{view.name}: the tokenizer turns text of document {doc_ids[row].as_py().hex()} into its end-of-text id "
            f"{encoder.end_of_text}, so that documents could not be told apart; use a tokenizer whose merges do not make it"
        )


def _check_length(counts: npt.NDArray[np.int64], doc_ids: pa.ChunkedArray, view: View) -> None:
    longest = int(counts.argmax()) if len(counts) else 0
    if len(counts) and counts[longest] >= LONGEST_TOKENS:
        raise InputError(
            f"{view.name}: document {doc_ids[longest].as_py().hex()} has {counts[longest] + 1} tokens with its end-of-text, "
            f"and the index of a token shard counts to {LONGEST_TOKENS}; divide it before it is collected, or leave it out"
        )


def _with_ends(ids: npt.NDArray[np.uint32], counts: npt.NDArray[np.int64], encoder: Encoder) -> Ids:
    """The ids with an end-of-text after each document, as the store holds them."""
    payload = np.full(len(ids) + len(counts), encoder.end_of_text, dtype=dtype_for(encoder.vocabulary))
    inside = np.ones(len(payload), dtype=np.bool_)
    inside[np.cumsum(counts + 1) - 1] = False
    payload[inside] = ids
    return payload


def _documents(table: pa.Table, shard: str, texts: pa.Array, tokens: npt.NDArray[np.int64], payload: Ids) -> pa.Table:
    """The table of an encoded shard (`ENCODED`)."""
    columns: dict[str, Any] = {name: table[name] for name in ("doc_id", "source", "url", "row", "place")}
    starts = offsets(tokens)
    columns |= {
        "shard": pa.repeat(shard, len(tokens)).dictionary_encode(),
        "token_offset": starts,
        "tokens": tokens,
        "text_bytes": pc.binary_length(texts),
        "content_hash": pa.array(_content_hashes(texts), pa.binary(16)),
        "crc": checksums(payload, starts, starts + tokens),
    }
    return pa.table([columns[name] for name in ENCODED.names], ENCODED.names).cast(ENCODED)


def checksums(ids: Ids, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """The CRC-32 of the bytes of each span of `ids`. uint32 [spans]"""
    data, size = ids.data.cast("B"), ids.dtype.itemsize
    pairs = zip((starts * size).tolist(), (ends * size).tolist(), strict=True)
    return np.fromiter((zlib.crc32(data[start:end]) for start, end in pairs), dtype=np.uint32, count=len(starts))


def _content_hashes(texts: pa.Array) -> list[bytes]:
    """The content hash of each of an array of large strings."""
    if not len(texts):
        return []
    _, starts, data = texts.buffers()
    edges = np.frombuffer(starts, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1].tolist()
    text = memoryview(data or b"")
    return [content_hash(text[start:end]) for start, end in pairwise(edges)]
