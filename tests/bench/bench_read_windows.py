"""Random windows of 1,025 tokens from a warm cache, as int64, beside a memory map of one file read as nanoGPT does.

MB here are of ids, two bytes each: 2 MB/s are a million tokens per second. Each call reads as many bytes of windows as its
batch holds bytes of text. The store has 32 million tokens in 8 shards; every block was compared with its hash in the warm-up.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from tokenmill.pipeline.base import manifest, schema
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.tokens import DOCUMENTS, TokenStore
from tokenmill.pipeline.tokens.samples import Samples, samples
from tokenmill.pipeline.tokens.write import write_shard

STAGE = "read_windows"
LENGTH = 1024
WINDOWS = 32
SHARDS, DOCUMENTS_EACH, TOKENS_EACH = 8, 8_000, 500
FOLDER = tempfile.TemporaryDirectory(prefix="tokenmill-bench-read-")


def ours(batch: pa.RecordBatch) -> object:
    order = _samples()
    for first in range(0, _count(batch), WINDOWS):
        made = torch.from_numpy(order.read(first, WINDOWS).ids.astype(np.int64))
    return made


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    order = _samples()
    path = Path(FOLDER.name, "train.bin")
    path.write_bytes(b"".join(shard.path.read_bytes() for shard in order.split.shards))
    order.read(0, order.windows)

    def nanogpt(batch: pa.RecordBatch) -> object:
        for _ in range(0, _count(batch), WINDOWS):
            data = np.memmap(path, dtype=np.uint16, mode="r")
            starts = torch.randint(len(data) - LENGTH, (WINDOWS,)).tolist()
            inputs, targets = (
                torch.stack(
                    [torch.from_numpy(data[start + shift : start + shift + LENGTH].astype(np.int64)) for start in starts]
                )
                for shift in (0, 1)
            )
        return inputs, targets

    return {"nanogpt": nanogpt}


def _count(batch: pa.RecordBatch) -> int:
    return max(1, pc.sum(pc.binary_length(batch["text"])).as_py() // (2 * (LENGTH + 1)))


@functools.cache
def _samples() -> Samples:
    root, dtype = Path(FOLDER.name), np.dtype("<u2")
    draw = np.random.default_rng(0)
    entries: dict[str, FileEntry] = {}
    for number in range(SHARDS):
        ids = draw.integers(1, 50_000, DOCUMENTS_EACH * TOKENS_EACH).astype(dtype)
        ids[TOKENS_EACH - 1 :: TOKENS_EACH] = 0
        columns = {
            "doc_id": [schema.doc_id("bench", f"{number}/{row}") for row in range(DOCUMENTS_EACH)],
            "source": ["bench"] * DOCUMENTS_EACH,
            "url": [None] * DOCUMENTS_EACH,
            "shard": ["bench/0"] * DOCUMENTS_EACH,
            "row": range(DOCUMENTS_EACH),
            "token_offset": [0] * DOCUMENTS_EACH,
            "tokens": [TOKENS_EACH] * DOCUMENTS_EACH,
            "text_bytes": [4 * TOKENS_EACH] * DOCUMENTS_EACH,
            "content_hash": [bytes(16)] * DOCUMENTS_EACH,
        }
        entries |= write_shard(root, "train", number, [ids], pa.table(columns).cast(DOCUMENTS), dtype).files
    documents = SHARDS * DOCUMENTS_EACH
    sums = {"documents": documents, "tokens": documents * TOKENS_EACH, "text_bytes": 4 * documents * TOKENS_EACH}
    splits = {
        "train": {**sums, "sources": [{"source": "bench", **sums}]},
        "val": {"documents": 0, "tokens": 0, "text_bytes": 0, "sources": []},
    }
    facts = {"vocabulary": 50_000, "end_of_text": 0, "tokenizer": "none", "splits": splits}
    manifest.commit(root, Manifest(stage="pack", version=1, config={}, inputs={}, files=entries, facts=facts))
    return samples(TokenStore.open(root / "tokens"), length=LENGTH)
