"""A training step on one GPU, at two sizes of GPT-2: tokens per second, and the part of the card's peak that they use (MFU).

    python -m tests.bench.train_gpu [--only 124M-window ...] [--updates 60]

Each row is a run of `train` as the settings say, on a store of random ids in documents of 500 tokens, in bfloat16 and compiled;
its numbers are medians of what the run's own log says, without the first lines, in which layers are compiled. Rows ending in
`-window` attend to a whole window of 1,024 tokens, those in `-document` to the token's own document.
Cost: a minute a row, half of it compiling.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tests.bench.stores import random_store
from tokenmill.model.train import train
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

CONTEXT, VOCABULARY = 1_024, 50_257
GPT2 = {"model": "gpt2", "optimizer": "adamw", "schedule": "cosine", "learning_rate": 6e-4}
SMALL = {"layers": 12, "heads": 12, "width": 768, "batch_windows": 64}
MEDIUM = {"layers": 24, "heads": 16, "width": 1_024, "batch_windows": 64}
SIZES: dict[str, dict[str, Any]] = {
    "124M": {**GPT2, **SMALL},
    "350M": {**GPT2, **MEDIUM},
    "modern": {"model": "modern", **SMALL, "heads": 6, "learning_rate": 1e-3},
}
ROWS = [f"{size}-{attention}" for size in SIZES for attention in ("window", "document")]
WARM_UP = 2
"""Writes of the log that are left out, of ten updates each."""


class Enough(BaseException):
    """Ends a run without its last checkpoint."""


class Updates(Silent):
    """Ends a run after so many updates."""

    def __init__(self, wanted: int) -> None:
        self.left = wanted

    def advance(self, amount: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Enough


def measure(root: Path, row: str, *, updates: int) -> dict[str, Any]:
    """Train on the store in `root`, and return what the log says of the updates after the warm-up."""
    size, attention = row.rsplit("-", 1)
    far = 10 * updates
    config = TrainConfig.model_validate(
        {
            **SIZES[size],
            **{"attention": attention, "context_tokens": CONTEXT, "device": "cuda", "compile": True, "min_learning_rate": 0.0},
            **{"steps": far, "evaluate_every": far, "checkpoint_every": far},
        }
    )
    log = root / "model/log.jsonl"
    log.unlink(missing_ok=True)
    torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(Enough):
        train(root, config, Updates(updates), resume=False)
    lines = [line for line in map(json.loads, log.read_text().splitlines()) if "loss" in line][10 * WARM_UP :]
    median = {name: statistics.median(line[name] for line in lines) for name in ("tokens_per_second", "mfu")}
    phases = {name: round(1000 * statistics.median(line["seconds"][name] for line in lines), 1) for name in lines[0]["seconds"]}
    return {
        "row": row,
        "windows": config.batch_windows,
        **median,
        "ms": phases,
        "gib": torch.cuda.max_memory_allocated() / 2**30,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.train_gpu", description="A training step on one GPU.")
    parser.add_argument("--only", nargs="*", choices=ROWS, default=ROWS, help="these rows (default: all)")
    parser.add_argument("--updates", type=int, default=60, help="of each row (default: 60)")
    options = parser.parse_args(arguments)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("row", "windows", "tokens/s", "MFU", "ms of an update", "GiB"):
        table.add_column(heading)
    with tempfile.TemporaryDirectory(prefix="tokenmill-bench-") as folder:
        random_store(Path(folder), vocabulary=VOCABULARY, shards=1, documents=20_000, length=500)
        for row in options.only:
            found = measure(Path(folder), row, updates=options.updates)
            table.add_row(
                *(row, str(found["windows"]), f"{found['tokens_per_second']:,.0f}", f"{100 * found['mfu']:.1f} %"),
                *(", ".join(f"{name} {each}" for name, each in found["ms"].items()), f"{found['gib']:.1f}"),
            )
    console = Console(width=128)
    console.print(table)
    console.print(
        f"\n{torch.cuda.get_device_name()}, torch {torch.__version__}, context {CONTEXT:,}, vocabulary {VOCABULARY:,}"
    )


if __name__ == "__main__":
    main()
