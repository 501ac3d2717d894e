"""Workers, the order in which input files are listed, and Python's hash seed make no difference to any published byte."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench import planted
from tests.stages.dedup.test_large_buckets import variants
from tokenmill.pipeline.base import executor
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig, FilesSource
from tokenmill.pipeline.stages.dedup import rounds
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

ROOT = Path(__file__).resolve().parents[3]


RANGE = 300
"""So small that there are many ranges."""


def published(source: Path, root: Path, workers: int) -> str:
    """Collect and deduplicate; all that `dedup` publishes, as JSON."""
    # Files one by one, in the order of their folder: what the system lists, not their names.
    paths = tuple(entry.path for entry in os.scandir(source))
    collected = CollectConfig(sources=(FilesSource(name="a", paths=paths),), shard_bytes=20_000)
    config = DedupConfig(ngram=2, bands=16, rows=1, threshold=0.8, bucket_limit=8)
    with executor.local(workers) as pool:
        work = Work(root=root, before=(), executor=pool)
        before = perform(CollectStep(collected), work, downstream=()).manifest
        step = StageStep(Dedup(config=config, sources=("a",)))
        made = perform(step, dataclasses.replace(work, before=(before,)), downstream=()).manifest
    digests = {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name, _ in made.entries()}
    return json.dumps([digests, made.facts, made.counts.dropped], sort_keys=True)


@pytest.mark.parametrize("numbers", [(1, 2), pytest.param((1, 2, 4), marks=pytest.mark.soak)])
def test_workers_order_of_files_and_hash_seed_make_no_difference(
    tmp_path: Path, numbers: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker in this process, whose hash seed is its own; others in processes that get theirs."""
    monkeypatch.setattr(rounds, "RANGE", RANGE)
    texts = [*variants(80, 2), *planted.texts(0, 60).to_pylist(), "", "short", "short"]
    found = []
    for workers in numbers:
        source = tmp_path / f"in{workers}"
        source.mkdir()
        for number in np.random.default_rng(workers).permutation(len(texts)):
            (source / f"{number}.txt").write_text(texts[number])
        if workers == 1:
            found.append(published(source, tmp_path / "out1", workers))
            continue
        command = [
            sys.executable,
            "-m",
            "tests.stages.dedup.test_same_bytes",
            str(source),
            str(tmp_path / f"out{workers}"),
            str(workers),
        ]
        environment = {**os.environ, "PYTHONHASHSEED": str(workers)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.strip())
    digests, facts, dropped = json.loads(found[0])
    assert len(digests) > 8
    assert facts["capped_bucket_rounds"] > 0
    assert dropped.keys() == {"exact_duplicate", "near_duplicate"}
    assert found[1:] == found[:1] * (len(numbers) - 1)


if __name__ == "__main__":
    rounds.RANGE = RANGE
    print(published(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
