"""What an algorithm for large data may use: a folder, workers, memory for each of them, and files open at once.

Guarantee: memory and fan-in change the number of rounds and of ranges, never a result.
Cost: none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.shortage import total_memory

FAN_IN = 64
"""Most runs that a task reads. With 64, three rounds are enough for 260,000 shards."""
SHARE = 0.5
"""The share of the machine's memory that all workers take together, when nobody gives a number of bytes."""
MOST_ROWS = 4_000_000
"""Most rows held at a time (approximate). More make nothing faster: sorting then leaves the processor's caches anyway."""
COPIES = 4
"""Copies of a row that reading, ordering and writing a block hold at a time, at most."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a step gives to an algorithm of this package. `folder`: for its files; see `runs.scratch`."""

    folder: Path
    executor: Executor
    memory_bytes: int
    """For each worker."""
    fan_in: int = FAN_IN
    """At least 2."""

    def rows(self, kinds: Sequence[str]) -> int:
        """How many rows of columns of these dtypes a task may hold."""
        return rows_of(self.memory_bytes, kinds)


def rows_of(memory_bytes: int, kinds: Sequence[str]) -> int:
    """How many rows of columns of these dtypes fit into `memory_bytes`, with what is needed to sort them."""
    row_bytes = sum(np.dtype(kind).itemsize for kind in kinds) + np.dtype(np.int64).itemsize
    return max(1, min(MOST_ROWS, memory_bytes // (COPIES * row_bytes)))


def default_memory(workers: int | None = None) -> int:
    """Bytes of memory for each of `workers` workers (default: one a core), as a share of the machine's or the container's."""
    return int(total_memory() * SHARE) // (workers or os.cpu_count() or 1)
