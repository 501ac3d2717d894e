"""What the tests of collection share: a run of the step over paths, and readers of what it published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.base.executor import Executor, InProcess
from tokenmill.pipeline.base.manifest import Counts, problems
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig
from tokenmill.pipeline.stages.step import Done, Work, perform


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A finished collection."""

    root: Path
    done: Done

    @property
    def counts(self) -> Counts:
        return self.done.manifest.counts

    def documents(self) -> list[dict[str, Any]]:
        names = [name for shard in self.done.manifest.shards for name in shard.files if name.startswith("documents/")]
        return [row for name in names for row in pq.read_table(self.root / name).to_pylist()]

    def texts(self) -> list[str]:
        return [row["text"] for row in self.documents()]

    def dropped(self) -> list[tuple[str, str]]:
        return self._positions("collect/dropped.parquet")

    def broken(self) -> list[tuple[str, str]]:
        found = [name for name in self.done.manifest.files if name.startswith("quarantine/")]
        return [pair for name in found for pair in self._positions(name)]

    def messages(self) -> list[str]:
        found = [name for name in self.done.manifest.files if name.startswith("quarantine/")]
        return [row["message"] for name in found for row in pq.read_table(self.root / name).to_pylist()]

    def _positions(self, name: str) -> list[tuple[str, str]]:
        return [(row["position"], row["reason"]) for row in pq.read_table(self.root / name).to_pylist()]

    def published(self) -> dict[str, bytes]:
        names = [name for name, _ in self.done.manifest.entries()]
        return {name: (self.root / name).read_bytes() for name in [*names, "collect/manifest.json"]}


def collected(root: Path, *paths: Path, executor: Executor | None = None, **settings: Any) -> Collected:
    """A collection of these paths into the folder `root`. The ceiling on quarantine is off unless it is given."""
    plain = {"quarantine_ceiling": 1.0, "paths": tuple(map(str, paths)), **settings}
    step = CollectStep(config=CollectConfig.model_validate(plain))
    work = Work(root=root, before=(), executor=executor or InProcess())
    done = perform(step, work, downstream=())
    assert not list(problems(work.root, done.manifest))
    return Collected(root=work.root, done=done)


@pytest.fixture
def collect(tmp_path: Path) -> Callable[..., Collected]:
    """Runs collection: `collect(folder, max_documents=10)`. The ceiling on quarantine is off unless it is given."""

    def run(*paths: Path, out: str = "corpus", executor: Executor | None = None, **settings: Any) -> Collected:
        return collected(tmp_path / out, *paths, executor=executor, **settings)

    return run
