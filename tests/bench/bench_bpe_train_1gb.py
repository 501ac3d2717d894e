"""BPE training from a gigabyte of lines, beside gigabpe: `make bench ONLY=bpe_train_1gb`. It takes a minute a round."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.bench.bench_bpe_train_files import compared
from tests.bench.run import Row

STAGE = "bpe_train_1gb"
BY_NAME = True
FILE_BYTES = 1_000_000_000


def measure(folder: Path, *, rounds: int, clock: Callable[[], float]) -> tuple[list[Row], list[str]]:
    """The row of a gigabyte."""
    return compared(STAGE, FILE_BYTES, folder, rounds=rounds, clock=clock)
