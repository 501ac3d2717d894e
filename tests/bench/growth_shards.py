"""How each step grows with the number of shards: `python -m tests.bench.growth --shards 200 1000 5000`.

Corpora of tiny shards, which differ in their number alone, go through a whole build in this process. For each step: files
opened, bytes pickled for workers (tasks and answers) and CPU seconds, all per shard. Files and bytes are counts, and must be
flat. CPU time holds that of parsers; what parsers open is not counted, and neither are folders.
Cost: 5,000 shards take some minutes of CPU time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.memory import cpu_seconds
from tokenmill.flows import housekeeping
from tokenmill.flows.build import Building, outline
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages import settings

DOCUMENTS_PER_SHARD = 8
WORDS_PER_DOCUMENT = 60
DISTINCT_WORDS = 5_000
NOTICE = "This notice stands on every page of the site."
STAGES = ("dedup", "repeats")
SHARD_BYTES = 6_000
SHARD_TOKENS = 40_000
"""About thirty shards of documents for each token shard."""


@dataclass(kw_only=True)
class Counted:
    """An executor in this process that counts what another one would have to send."""

    workers: int = 1
    pickled: int = 0
    _inside: InProcess = field(default_factory=InProcess)

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any], **options: Any) -> list[Any]:
        def counted(task: Any) -> Any:
            answer = function(task)
            self.pickled += len(pickle.dumps(task)) + len(pickle.dumps(answer))
            return answer

        counted.__name__ = getattr(function, "__name__", "work")
        return self._inside.map(counted, tasks, **options)


@dataclass(kw_only=True)
class Opened:
    """How many files were opened below a folder, while `counting`."""

    files: int = 0
    counting: bool = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.counting and event == "open" and not arguments[2] & os.O_DIRECTORY and arguments[0] != "/dev/null":
            self.files += 1


OPENED = Opened()


def write_input(folder: Path, shards: int) -> None:
    """One file of records for each shard: random words, a notice in every document, and one copy in eight documents."""
    draw = np.random.default_rng(shards)
    folder.mkdir()
    for number in range(shards):
        words = draw.integers(0, DISTINCT_WORDS, (DOCUMENTS_PER_SHARD, WORDS_PER_DOCUMENT))
        texts = [" ".join(f"word{word}" for word in row) for row in words]
        texts[0] = texts[0] if number % 2 else " ".join(f"word{word}" for word in range(number % 97, WORDS_PER_DOCUMENT))
        lines = [json.dumps({"text": f"{NOTICE}\n{text}", "id": f"{number}-{at}"}) for at, text in enumerate(texts)]
        # A file of exactly `shard_bytes` is neither divided nor put together with others.
        (folder / f"{number:06d}.jsonl").write_text("\n".join(lines).ljust(SHARD_BYTES - 1) + "\n")


def config_of(folder: Path, stages: Sequence[str] = STAGES) -> Config:
    """Settings with which each file of `folder` is one shard."""
    plain = {
        "stages": list(stages),
        "collect": {"paths": [str(folder)], "shard_bytes": SHARD_BYTES},
        "tokenizer": {"vocabulary": 300},
        "pack": {"shard_tokens": SHARD_TOKENS, "validation_fraction": 0.02},
    }
    return settings.parse(plain, where="growth")


def measure(shards: int, root: Path, stages: Sequence[str] = STAGES) -> Iterator[tuple[str, int, tuple[float, float, float]]]:
    """For each step, when it is done: name, number of shards, and files opened, bytes pickled and CPU seconds a shard."""
    root.mkdir()
    write_input(root / "input", shards)
    config = config_of(root / "input", stages)
    pool = Counted()
    with housekeeping.at_work(root / "corpus"):
        building = Building(config=config, root=root / "corpus", executor=pool, progress=Silent())
        building.begin()
        steps: dict[str, Callable[[], object]] = {name: functools.partial(building.perform, name) for name in outline(config)}
        for name, step in {**steps, "report": building.finish}.items():
            opened, pickled, cpu_seconds = _counted(pool, step)
            made = len(building.done[0].manifest.shards)
            yield name, made, (opened / made, pickled / made, cpu_seconds / made)


def _counted(pool: Counted, step: Callable[[], object]) -> tuple[float, float, float]:
    begun = cpu_seconds()
    OPENED.files = pool.pickled = 0
    with _counting():
        step()
    return OPENED.files, pool.pickled, cpu_seconds() - begun


@contextlib.contextmanager
def _counting() -> Iterator[None]:
    OPENED.counting = True
    try:
        yield
    finally:
        OPENED.counting = False


def show(numbers: Sequence[int], stages: Sequence[str]) -> None:
    """Print a line for each step and number of shards, with the ratio to the first number."""
    sys.addaudithook(OPENED)
    with tempfile.TemporaryDirectory(prefix="tokenmill-growth-") as folder:
        # Kernels are loaded, and compiled, before anything is measured.
        list(measure(3, Path(folder) / "warm-up"))
    columns = ("step", "shards", "opens", "pickled B", "CPU ms", "opens x", "pickled x", "CPU x")
    print(*(f"{column:>10}" for column in columns))
    first: dict[str, tuple[float, float, float]] = {}
    for number in numbers:
        with tempfile.TemporaryDirectory(prefix="tokenmill-growth-") as folder:
            for name, made, found in measure(number, Path(folder) / "growth", stages):
                before = first.setdefault(name, found)
                ratios = [f"{now / then if then else 1.0:.2f}" for now, then in zip(found, before, strict=True)]
                values = [name, made, f"{found[0]:.2f}", f"{found[1]:.0f}", f"{found[2] * 1000:.2f}", *ratios]
                print(*(f"{value:>10}" for value in values), flush=True)
