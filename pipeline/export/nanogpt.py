"""The store as nanoGPT reads it: `train.bin` and `val.bin`, uint16 without a header.

A split of one token shard is linked. A split of several is copied end to end into a read-only file. A split without tokens has
no file. The format follows nanoGPT, train.py (get_batch), which reads only uint16.
Cost: one read of the store, and one write of it if there are several token shards.
"""

from __future__ import annotations

import functools
from pathlib import Path

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.export.source import ExportSource, Item
from tokenmill.pipeline.tokens import Split


def plan(source: ExportSource) -> list[Item]:
    """A file for each split that has tokens. Raises InputError for a vocabulary beyond 65,536."""
    store = source.store
    if any(split.dtype.itemsize != 2 for split in store.splits):
        raise InputError(
            f"{store.folder}: has ids up to {store.vocabulary - 1:,}, and nanoGPT reads 16 bits; take a vocabulary of at most "
            "65,536, or another format"
        )
    return [
        Item(name=f"{split.name}.bin", write=functools.partial(_write, store.folder, split))
        for split in store.splits
        if split.shards
    ]


def _write(folder: Path, split: Split, path: Path) -> int:
    files.link(folder, [shard.payload for shard in split.shards], path)
    return split.documents
