"""Token stores of random ids, for benches that read or train on them.

Guarantee: the same arguments give the same ids. Cost: 2 bytes of disk per token.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import manifest, schema
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.tokens import BLOCK_BYTES, DOCUMENTS
from tokenmill.pipeline.tokens.write import write_shard


def random_store(root: Path, *, vocabulary: int, shards: int, documents: int, length: int) -> Path:
    """Write a store without a validation split to `root / "tokens"`, and return that folder.

    Each of the `shards` holds so many `documents` of `length` tokens; the last one is 0, the end of the text.
    """
    dtype = np.dtype("<u2")
    draw = np.random.default_rng(0)
    entries: dict[str, FileEntry] = {}
    for number in range(shards):
        ids = draw.integers(1, vocabulary, documents * length).astype(dtype)
        ids[length - 1 :: length] = 0
        columns = {
            "doc_id": [schema.doc_id("bench", f"{number}/{row}") for row in range(documents)],
            "source": ["bench"] * documents,
            "url": [None] * documents,
            "shard": ["bench/0"] * documents,
            "row": range(documents),
            "token_offset": [0] * documents,
            "tokens": [length] * documents,
            "text_bytes": [4 * length] * documents,
            "content_hash": [bytes(16)] * documents,
        }
        entries |= write_shard(root, "train", number, [ids], pa.table(columns).cast(DOCUMENTS), dtype).files
    sums = {
        "documents": shards * documents,
        "tokens": shards * documents * length,
        "text_bytes": 4 * shards * documents * length,
    }
    splits = {
        "train": {**sums, "highest_id": vocabulary - 1, "sources": [{"source": "bench", **sums}]},
        "val": {"documents": 0, "tokens": 0, "text_bytes": 0, "highest_id": 0, "sources": []},
    }
    facts = {
        "dtype": dtype.name,
        "block_bytes": BLOCK_BYTES,
        "vocabulary": vocabulary,
        "end_of_text": 0,
        "tokenizer": "none",
        "splits": splits,
    }
    manifest.commit(root, Manifest(stage="pack", version=1, config={}, inputs={}, files=entries, facts=facts))
    return root / "tokens"
