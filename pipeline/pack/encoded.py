"""One shard of documents, encoded: its ids end to end, and one row per surviving document.

Guarantee: each document is its text's ids and one end-of-text; an encoded shard depends on the tokenizer, the text and the
verdicts alone, so it outlives a change of the split or of the size of token shards.
Cost: encoding at close to the encoder's rate; memory is the shard's text and its ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import files, manifest, shards, state
from pipeline.errors import ConfigError
from pipeline.manifest import Counts, Shard
from pipeline.shards import Alive, Named, View
from pipeline.stage import Encoder
from pipeline.tokens import DOCUMENTS, Ids, SplitName, content_hash, dtype_for, in_validation, offsets

STAGE = "pack"
VERSION = 1


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
    table = shards.read(view.root, _named(shard, ".docs.parquet"), ["doc_id", "tokens"])
    tokens = table["tokens"].to_numpy()
    validation = in_validation(table["doc_id"], task.validation_fraction)
    totals: dict[SplitName, int] = {"train": int(tokens[~validation].sum()), "val": int(tokens[validation].sum())}
    return Encoded(shard=shard, tokens=totals, recomputed=done is None)


def _encode(view: View, encoder: Encoder) -> Shard:
    alive = view.read(("doc_id", "source", "url", "text"))
    texts = alive.table["text"].combine_chunks()
    ids, counts = encoder.encode(texts)
    _check(ids, counts, alive.table["doc_id"], view, encoder)
    documents = _documents(alive, view.name, texts, counts + 1)
    payload_name, documents_name = f".state/{STAGE}/{view.name}.bin", f".state/{STAGE}/{view.name}.docs.parquet"
    with files.create(view.root / payload_name) as out:
        out.write(_with_ends(ids, counts, encoder).tobytes())
    text_bytes = int(pc.sum(documents["text_bytes"], min_count=0).as_py())
    return Shard(
        name=view.name,
        files={payload_name: out.entry(), documents_name: shards.write(view.root, documents_name, documents)},
        counts=Counts(read=len(counts), kept=len(counts), bytes_in=text_bytes, bytes_kept=text_bytes),
    )


def _check(
    ids: npt.NDArray[np.uint32], counts: npt.NDArray[np.int64], doc_ids: pa.ChunkedArray, view: View, encoder: Encoder
) -> None:
    """Raises ConfigError when the tokenizer makes an end-of-text out of text."""
    assert len(counts) == len(doc_ids), f"{view.name}: {len(counts)=} {len(doc_ids)=}"
    assert counts.sum() == len(ids), f"{view.name}: {int(counts.sum())=} {len(ids)=}"
    assert len(ids) == 0 or ids.max() < encoder.vocabulary, f"{view.name}: {int(ids.max())=} {encoder.vocabulary=}"
    ends = np.flatnonzero(ids == encoder.end_of_text)
    if ends.size:
        row = int(np.searchsorted(np.cumsum(counts), ends[0], side="right"))
        raise ConfigError(
            f"{view.name}: the tokenizer turns text of document {doc_ids[row].as_py().hex()} into its end-of-text id "
            f"{encoder.end_of_text}, so that documents could not be told apart; use a tokenizer whose merges do not make it"
        )


def _with_ends(ids: npt.NDArray[np.uint32], counts: npt.NDArray[np.int64], encoder: Encoder) -> Ids:
    """The ids with an end-of-text after each document, as the store holds them."""
    payload = np.full(len(ids) + len(counts), encoder.end_of_text, dtype=dtype_for(encoder.vocabulary))
    inside = np.ones(len(payload), dtype=np.bool_)
    inside[np.cumsum(counts + 1) - 1] = False
    payload[inside] = ids
    return payload


def _documents(alive: Alive, shard: str, texts: pa.Array, tokens: npt.NDArray[np.int64]) -> pa.Table:
    """The table of an encoded shard; `token_offset` is the place in its own payload."""
    columns: dict[str, Any] = {name: alive.table[name] for name in ("doc_id", "source", "url")}
    columns |= {
        "shard": pa.repeat(shard, len(tokens)).dictionary_encode(),
        "row": alive.rows,
        "token_offset": offsets(tokens),
        "tokens": tokens,
        "text_bytes": pc.binary_length(texts),
        "content_hash": pa.array(_content_hashes(texts), pa.binary(16)),
    }
    return pa.table(columns).cast(DOCUMENTS)


def _content_hashes(texts: pa.Array) -> list[bytes]:
    """The content hash of each of an array of large strings."""
    if not len(texts):
        return []
    _, starts, data = texts.buffers()
    edges = np.frombuffer(starts, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1].tolist()
    text = memoryview(data or b"")
    return [content_hash(text[start:end]) for start, end in pairwise(edges)]
