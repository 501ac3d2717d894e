"""Packing (encoding, provenance, hashes, two writes, the layout) beside the encoder alone, and beside packing as nanoGPT does.

Ours makes one store of all documents, encoded by shards of 16 MB, as a build does.

The tokenizer is a byte-level BPE of 16,000 ids, trained on the first documents. `fastokens` only makes ids and forgets them:
the ratio to it is the share of its rate that is left for packing. `nanogpt` encodes text by text with `tokenizers`, puts an
end-of-text after each, and writes one file of uint16, as its `prepare.py` does.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastokens
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tokenizers

from tests.bench import texts
from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.shards import Alive
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.external.means import Means, default_memory
from tokenmill.pipeline.tokens import dtype_for
from tokenmill.pipeline.tokens.pack.encoded import EncodeTask, encode_shard
from tokenmill.pipeline.tokens.pack.packed import pack, plan
from tokenmill.tokenizer.encode import FastEncoder, load

STAGE = "pack"
PEER_BYTES = {"nanogpt": 8_000_000}
TRAINED_BYTES = 8_000_000
VOCABULARY = 16_000
WHOLE = True
STORES = tempfile.TemporaryDirectory(prefix="tokenmill-bench-pack-")
"""Removed when all is measured."""


@dataclass(frozen=True)
class _View:
    """Documents as a shard's view gives them, without reading them."""

    root: Path
    name: str
    batch: pa.RecordBatch

    @property
    def identity(self) -> dict[str, Any]:
        return {"documents": hashlib.sha256(str(self.batch.num_rows).encode()).hexdigest()}

    def read(self, columns: tuple[str, ...]) -> Alive:
        rows = np.arange(self.batch.num_rows, dtype=np.int64)
        ids = np.random.default_rng(0).integers(0, 256, 16 * len(rows), dtype=np.uint8).tobytes()
        columns_of: dict[str, Any] = {
            "doc_id": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(rows), [None, pa.py_buffer(ids)]),
            "source": pa.repeat("bench", len(rows)).dictionary_encode(),
            "url": pc.binary_join_element_wise("https://example.org/documents/", pa.array(rows).cast(pa.string()), ""),
            "text": self.batch["text"],
        }
        table = pa.table({name: columns_of[name] for name in columns})
        return Alive(table=table.set_column(0, schema.DOC_ID.name, columns_of["doc_id"]), rows=rows, total=len(rows), edits={})


def ours(batch: pa.RecordBatch) -> object:
    encoder, config = _encoder(), PackConfig()
    root = Path(tempfile.mkdtemp(dir=STORES.name))
    ends = np.cumsum(pc.binary_length(batch["text"]).to_numpy())
    cuts = [*np.searchsorted(ends, np.arange(0, ends[-1], texts.SHARD_BYTES)).tolist(), batch.num_rows]
    encoded = []
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        view: Any = _View(root, f"bench/{number}", batch.slice(start, stop - start))
        encoded.append(encode_shard(EncodeTask(view=view, encoder=encoder, validation_fraction=config.validation_fraction)))
    means = Means(folder=root / "gathered", executor=InProcess(), memory_bytes=default_memory(1))
    return pack(list(plan(root, encoded, {}, config, dtype_for(encoder.vocabulary))), means)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    return {"fastokens": _fastokens(), "nanogpt": _nanogpt()}


@functools.cache
def _encoder() -> FastEncoder:
    folder = Path(tempfile.gettempdir(), f"tokenmill-bench-{VOCABULARY}")
    path = folder / "tokenizer.json"
    if not path.exists():
        folder.mkdir(exist_ok=True)
        table = texts.documents(texts.ROOT / "build" / "bench", english=False)
        rows = int(np.searchsorted(np.cumsum(pc.binary_length(table["text"]).to_numpy()), TRAINED_BYTES))
        model = tokenizers.Tokenizer(tokenizers.models.BPE())
        model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
        model.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        model.train_from_iterator(table["text"].slice(0, rows).to_pylist(), trainer)
        model.save(str(path))
    return load(path)


def _fastokens() -> Callable[[pa.RecordBatch], object]:
    model = fastokens.Tokenizer.from_json_str(_encoder().path.read_text())

    def encode(batch: pa.RecordBatch) -> object:
        return model.encode_batch_flat(batch["text"].to_pylist(), add_special_tokens=False, split_special_tokens=True)

    return encode


def _nanogpt() -> Callable[[pa.RecordBatch], object]:
    model = tokenizers.Tokenizer.from_file(str(_encoder().path))
    end = model.token_to_id("<|endoftext|>")

    def pack(batch: pa.RecordBatch) -> object:
        ids = [[*model.encode(text, add_special_tokens=False).ids, end] for text in batch["text"].to_pylist()]
        with tempfile.TemporaryFile() as out:
            stream = np.memmap(out, dtype=np.uint16, mode="w+", shape=(sum(map(len, ids)),))
            at = 0
            for one in ids:
                stream[at : at + len(one)] = one
                at += len(one)
            stream.flush()
        return None

    return pack
