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

from tests.bench.stores import random_store
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import Samples, samples

STAGE = "read_windows"
LENGTH = 1024
WINDOWS = 32
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
    store = random_store(Path(FOLDER.name), vocabulary=50_000, shards=8, documents=8_000, length=500)
    return samples(TokenStore.open(store), length=LENGTH)
