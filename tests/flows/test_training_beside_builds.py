"""A training holds the version that it reads and its own folder, not the corpus: builds go on beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.folders import smallest, twin
from tokenmill.flows import build as builds
from tokenmill.flows import forgetting, training
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import Locked, StaleInput
from tokenmill.pipeline.base.manifest import MODEL, PACK
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.tokens.forget import request_ids

TRAIN = {
    "layers": 1,
    "width": 4,
    "heads": 1,
    "context_tokens": 16,
    "batch_windows": 2,
    "steps": 6,
    "checkpoint_every": 2,
    "evaluate_every": 6,
    "device": "cpu",
}


class At(Silent):
    """Does something in the middle of a training, once, and keeps what is said."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.lines: list[str] = []
        self._do: Callable[[], object] | None = do
        self._updates = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    def advance(self, done: int) -> None:
        self._updates += 1
        if self._updates == 3 and self._do is not None:
            do, self._do = self._do, None
            do()


def more(folder: Path, number: int) -> None:
    (folder / "in" / f"{number}.txt").write_text(f"Text {number} of a small corpus: " + chr(97 + number % 26) * 90)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "in").mkdir()
    for number in range(4):
        more(tmp_path, number)
    return smallest(tmp_path, train=TRAIN)


@pytest.fixture
def root(tmp_path: Path, config: Config) -> Path:
    return builds.build(config, tmp_path / "corpus", workers=1).root


def weights(root: Path) -> dict[str, str]:
    made = manifest.load(root, MODEL)
    return {name: entry.sha256 for name, entry in made.entries()}


def test_a_build_runs_beside_a_training_which_goes_on_with_its_version(tmp_path: Path, config: Config, root: Path) -> None:
    alone = twin(root, tmp_path / "alone")
    training.run(alone, {}, Silent())
    store = open_corpus(root).require(PACK).hash

    def nightly() -> None:
        more(tmp_path, 10)
        (tmp_path / "in" / "0.txt").unlink()
        builds.build(config, root, workers=1)
        assert open_corpus(root).require(PACK).hash != store
        assert sorted(os.listdir(root / ".versions")) == ["1", "2"], "the training holds the first"

    progress = At(nightly)
    training.run(root, {}, progress)
    assert weights(root) == weights(alone)
    assert manifest.load(root, MODEL).inputs[PACK] == store
    assert progress.lines[-1].startswith("the corpus was built anew meanwhile")
    model = {path.relative_to(root).as_posix() for path in files.listed(root / MODEL)}
    assert model - files.noted(root) == {"model/.lock"}, "the build has lost no name that the training noted"
    with pytest.raises(StaleInput, match="--restart-if-stale"):
        training.run(root, {}, Silent())
    builds.build(config, root, workers=1)
    assert len(os.listdir(root / ".versions")) == 1, "nobody reads the first any more"


def test_another_training_and_a_compaction_wait_for_it_and_forgetting_does_not(root: Path) -> None:
    gone = open_corpus(root).views()[0].read(["doc_id"]).table["doc_id"][0].as_py().hex()

    def others() -> None:
        forgetting.forget(root, [request_ids("doc_id", gone, [gone])])
        for work in (lambda: training.run(root, {}, Silent()), lambda: forgetting.compact(root, Silent())):
            with pytest.raises(Locked, match=rf"model is locked: process {os.getpid()} "):
                work()

    progress = At(others)
    training.run(root, {}, progress)
    assert manifest.load(root, MODEL).facts["step"] == TRAIN["steps"]
    assert forgetting.compact(root, Silent()).documents == 1


def test_without_versions_a_build_waits_for_the_training(tmp_path: Path, config: Config, root: Path) -> None:
    builds.build(config, root, in_place=True, workers=1)

    def nightly() -> None:
        with pytest.raises(Locked):
            builds.build(config, root, in_place=True, workers=1)

    training.run(root, {}, At(nightly))
    assert manifest.load(root, MODEL).facts["step"] == TRAIN["steps"]


def test_what_a_training_that_died_left_goes_with_the_next_build_or_training(config: Config, root: Path) -> None:
    training.run(root, {}, Silent())
    found = files.marker(root)
    assert found is not None
    left = root / MODEL / "checkpoints" / f".step-00000009.json.4194305000-{found.id[:8]}.tmp~"
    for work in (lambda: builds.build(config, root, workers=1), lambda: training.run(root, {}, Silent())):
        left.write_bytes(b"half")
        work()
        assert not left.exists()
    left.write_bytes(b"half")
    with files.lock(root / MODEL):
        builds.build(config, root, workers=1)
        assert left.exists(), "whoever writes it may run on another machine"
