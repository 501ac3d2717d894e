"""BPE training on Chinese and Japanese alone, where a pre-token is a whole clause and most occur once."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import bench_bpe_train
from tests.bench.bench_bpe_train import ours as ours

STAGE = "bpe_train_unspaced"
WHOLE = True
UNSPACED = True


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    found = bench_bpe_train.peers()
    return {name: found[name] for name in ("tokenizers",)}
