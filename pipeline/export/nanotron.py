"""The store as datatrove writes it and nanotron reads it: a folder of `.ds` files for each split.

`.ds` is the payload. `.ds.index` holds the end of each document, in tokens, as uint64, little-endian. `.ds.metadata` holds the
tokenizer (here its fingerprint) with the bytes per token, the number of tokens, and this number again in readable form. The
format follows datatrove, pipeline/tokens/tokenizer.py (TokenizedFile) and utils/dataset.py.
Cost: one read of the store, and 8 bytes per document.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.export.source import ExportSource, Item, link
from tokenmill.pipeline.tokens import TokenShard


def plan(source: ExportSource) -> list[Item]:
    """`train/00000.ds`, `.ds.index` and `.ds.metadata` for every token shard."""
    items = []
    for name, shard in source.token_shards:
        items += [
            link(f"{name}.ds", shard, shard.payload),
            Item(name=f"{name}.ds.index", write=functools.partial(_index, shard)),
            Item(name=f"{name}.ds.metadata", write=functools.partial(_metadata, shard, source.store.tokenizer)),
        ]
    return items


def _index(shard: TokenShard, path: Path) -> int:
    tokens = shards.read(shard.root, shard.documents, ["tokens"])["tokens"].to_numpy()
    files.write_bytes(path, np.cumsum(tokens).astype("<u8").tobytes())
    return 0


def _metadata(shard: TokenShard, tokenizer: str, path: Path) -> int:
    files.write_bytes(path, f"{tokenizer}|{shard.dtype.itemsize}\n{shard.tokens}\n{shard.tokens:,} T".encode())
    return 0
