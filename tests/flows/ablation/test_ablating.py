"""Ablations from corpora to the page: equal variants, interruptions, corpora that stand already, folders of others."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.command import tokenmill
from tokenmill.flows.ablation.settings import read
from tokenmill.flows.ablation.work import JSON, PAGE, ablating
from tokenmill.model import checkpoint
from tokenmill.model.evaluate import evaluate
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.tokens import TokenStore

BASE = """
stages = []
[collect]
paths = ["in"]
[tokenizer]
vocabulary = 270
min_frequency = 1
[pack]
validation_fraction = 0.3
[train]
layers = 1
heads = 1
width = 8
context_tokens = 16
batch_windows = 4
steps = 4
warmup_steps = 1
checkpoint_every = 2
device = "cpu"
"""
FILE = """
base = "base.toml"
seeds = [0, 1]
[variants.whole]
[variants.same]
[variants.part]
collect.max_documents = 80
"""


class Stopped(BaseException):
    """Ends a run from inside, as a signal would."""


class StopAt(Silent):
    """Keeps what is said, and stops at the `number`-th update of a model."""

    def __init__(self, number: int = 0) -> None:
        self.lines: list[str] = []
        self.trained: list[int] = []
        self._step, self._left = "", number

    def begin(self, step: str, total: int, unit: str) -> None:
        self._step = step
        if step == "train":
            self.trained.append(total)

    def advance(self, amount: int) -> None:
        if self._step == "train":
            self._left -= 1
            if self._left == 0:
                raise Stopped

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ablation")
    words = ["mill", "corn", "river", "wheel", "stone", "house", "baker", "bread", "flour", "water", "grain", "sack"]
    (found / "in").mkdir()
    for number in range(90):
        text = "\n".join(" ".join(random.Random(5 * number + row).choices(words, k=10)) for row in range(3))
        (found / "in" / f"{number}.txt").write_text(text)
    (found / "base.toml").write_text(BASE)
    (found / "three.toml").write_text(FILE)
    return found


def run(folder: Path, out: str, progress: Silent | None = None, file: str = "three.toml") -> dict[str, Any]:
    # Models this small only wait for a second thread.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ablating(read(folder / file), folder / out, workers=1, progress=progress or Silent()) as work:
            work.perform()
    finally:
        torch.set_num_threads(before)
    return dict(json.loads((folder / out / JSON).read_bytes()))


@pytest.fixture(scope="module")
def done(folder: Path) -> dict[str, Any]:
    return run(folder, "done")


def test_equal_settings_are_not_told_apart_and_nothing_is_hidden(folder: Path, done: dict[str, Any]) -> None:
    assert list(done["held_out"]) == ["part", "same", "whole"], "as JSON sorts them"
    for one in done["held_out"].values():
        assert len(one["differences"]) == 3
        (same,) = [pair for pair in one["differences"] if {pair["a"], pair["b"]} == {"whole", "same"}]
        assert (same["mean"], same["low"], same["high"], same["told_apart"]) == (0.0, 0.0, 0.0, False)
        assert one["bits_per_byte"]["whole"] == one["bits_per_byte"]["same"]
        assert one["bits_per_byte"]["whole"]["seeds"][0] != one["bits_per_byte"]["whole"]["seeds"][1]
        assert all(1 < value < 8 for found in one["bits_per_byte"].values() for value in found["seeds"])
    assert done["comparisons"] == 9
    assert done["variants"]["part"]["collected"] == 80
    assert len({one["tokenizer"] for one in done["variants"].values()}) == 1, "the first variant trains that of all"
    page = (folder / "done" / PAGE).read_text()
    assert all(pair["said"] in page for one in done["held_out"].values() for pair in one["differences"])
    made = manifest.load(folder / "done", manifest.ABLATION)
    assert not list(manifest.problems(folder / "done", made))


def test_bits_per_byte_are_those_of_an_evaluation_by_the_trainer(folder: Path, done: dict[str, Any]) -> None:
    """On a validation split of which nothing is left out. Windows of the trainer go on from document to document, so a token
    may see less of its own."""
    assert done["held_out"]["whole"]["left_out"] == 0
    home, corpus = folder / "done" / "runs" / "whole" / "seed-0", folder / "done" / "variants" / "whole"
    found = checkpoint.newest(home / "model" / "checkpoints", Silent())
    assert found is not None
    split = TokenStore.open(corpus).split("val")
    measured = evaluate(
        checkpoint.load_model(found),
        split,
        np.arange(split.windows(16)),
        step=4,
        attention="document",
        batch_windows=4,
        device=torch.device("cpu"),
    )
    assert measured.bits_per_byte == pytest.approx(done["held_out"]["whole"]["bits_per_byte"]["whole"]["seeds"][0], rel=0.03)


def test_a_variant_begins_with_the_files_of_the_first(folder: Path, done: dict[str, Any]) -> None:
    whole, same = (folder / "done" / "variants" / name / "documents" for name in ("whole", "same"))
    files = [path.relative_to(whole) for path in sorted(whole.rglob("*.parquet"))]
    assert files
    assert all((whole / name).samefile(same / name) for name in files)
    assert open_corpus(same.parent).collect.hash == open_corpus(whole.parent).collect.hash


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_bytes(folder: Path, done: dict[str, Any]) -> None:
    with pytest.raises(Stopped):
        run(folder, "stopped", StopAt(4 + 3))
    assert not (folder / "stopped" / JSON).exists()
    again = StopAt()
    assert run(folder, "stopped", again) == done
    assert (folder / "stopped" / PAGE).read_bytes() == (folder / "done" / PAGE).read_bytes()
    assert again.trained == [2 * 64, *4 * [4 * 64]], "the first is done, the second goes on from its checkpoint"
    idle = StopAt()
    assert run(folder, "stopped", idle) == done
    assert idle.trained == []


@pytest.mark.soak
def test_other_settings_of_the_training_begin_anew(folder: Path, done: dict[str, Any]) -> None:
    (folder / "more.toml").write_text('base = "base.toml"\nseeds = [0, 1]\n[variants.a]\n[variants.b]\n[train]\nsteps = 2\n')
    run(folder, "more", file="more.toml")
    (folder / "more.toml").write_text('base = "base.toml"\nseeds = [0, 1]\n[variants.a]\n[variants.b]\n[train]\nsteps = 3\n')
    heard = StopAt()
    run(folder, "more", heard, file="more.toml")
    assert heard.trained == 4 * [3 * 64], "no model has been trained by two settings"


def test_corpora_that_stand_already_and_files(folder: Path, done: dict[str, Any]) -> None:
    held = folder / "held.jsonl"
    held.write_text("".join(json.dumps({"body": f"The mill of number {n} grinds.\n" * 3}) + "\n" for n in range(12)))
    (folder / "corpora.toml").write_text(
        'seeds = [0, 1]\n[variants.a]\ncorpus = "done/variants/whole"\n[variants.b]\ncorpus = "done/variants/part"\n'
        '[held_out.files]\npaths = ["held.jsonl"]\ntext_field = "body"\n'
        '[train]\nlayers = 1\nheads = 1\nwidth = 8\ncontext_tokens = 16\nbatch_windows = 4\nsteps = 2\ndevice = "cpu"\n'
    )
    found = run(folder, "corpora", file="corpora.toml")
    assert list(found["held_out"]) == ["files"]
    assert found["held_out"]["files"]["documents"] == 12
    assert not (folder / "corpora" / "variants").exists()


def test_a_folder_of_somebody_else_is_refused(folder: Path, done: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for out in (
        tmp_path,
        tmp_path / "mine",
        folder / "done" / "variants" / "whole",
        folder / "done" / "variants" / "whole" / "x",
    ):
        with (
            pytest.raises(ConfigError, match="--out"),
            ablating(read(folder / "three.toml"), out, workers=1, progress=Silent()),
        ):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_command_prints_the_result(folder: Path, done: dict[str, Any]) -> None:
    printed = tokenmill("ablate", folder / "three.toml", "--out", folder / "done", "--no-prefect", "--json")
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout) == done
    assert tokenmill("ablate", folder / "base.toml").returncode == 1


@pytest.mark.soak
def test_the_flow_does_the_same(folder: Path, done: dict[str, Any], tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [Path(sys.executable).with_name("tokenmill"), "ablate", folder / "three.toml", "--out", folder / "flow"]
    environment = {**clean, "PREFECT_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    assert "without Prefect" not in ended.stdout
    assert " ".join(done["verdict"].split()) in " ".join(ended.stdout.split())
    assert json.loads((folder / "flow" / JSON).read_bytes()) == done
    with contextlib.closing(sqlite3.connect(f"file:{tmp_path / 'prefect.db'}?mode=ro", uri=True)) as database:
        tasks = {str(name) for (name,) in database.execute("SELECT name FROM task_run")}
    assert {"build part", "train part, seed 1"} <= tasks
