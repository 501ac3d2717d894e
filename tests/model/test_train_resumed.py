"""A run that was stopped, killed or refused goes on: it ends with the weights of one that was left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Literal

import pytest
import torch

from tests.model.runs import Make, StopAt, Stopped, Tiny, Told, log_of, published
from tokenmill.model import checkpoint
from tokenmill.model import train as loop
from tokenmill.model.gpt import GPT, next_token_loss
from tokenmill.model.train import Diverged, train
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import StaleInput
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.progress import Silent


def test_a_finished_run_does_nothing(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_store()
    first = train(root, tiny(), Silent())
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    monkeypatch.setattr(loop, "GPT", None)
    again = train(root, tiny(), Silent())
    assert again.steps_now == 0
    assert (again.evaluations, again.tokens) == (first.evaluations, first.tokens)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("stop", [1, 4, 5, 7, 12, *(pytest.param(stop, marks=pytest.mark.soak) for stop in (3, 8, 9, 11))])
def test_a_stopped_run_ends_bit_equal(make_store: Make, tiny: Tiny, stop: int) -> None:
    whole, stopped = make_store(folder="whole"), make_store(folder="stopped")
    train(whole, tiny(accumulate=2, batch_windows=2), Silent())
    with pytest.raises(Stopped):
        train(stopped, tiny(accumulate=2, batch_windows=2), StopAt(stop))
    result = train(stopped, tiny(accumulate=2, batch_windows=2), Silent())
    # Of 12 updates, those since the last checkpoint (every 4) are made again.
    assert result.steps_now == 12 - (stop - 1) // 4 * 4
    assert published(whole) == published(stopped)


def test_a_stopped_run_over_a_mixture_of_aligned_windows_ends_bit_equal(make_store: Make, tiny: Tiny) -> None:
    config = tiny(align_documents=True, weights={"train": 2.0}, most_epochs=3)
    whole, stopped = make_store(folder="whole"), make_store(folder="stopped")
    told = Told()
    train(whole, config, told)
    # 600 tokens are 36 windows; 12 updates of 4 read 48.
    assert told.lines[0] == "sources: train 100.00% (1.33 epochs)"
    with pytest.raises(Stopped):
        train(stopped, config, StopAt(6))
    train(stopped, config, Silent())
    assert published(whole) == published(stopped)


def test_a_run_killed_in_another_process_ends_bit_equal(make_store: Make, tiny: Tiny) -> None:
    whole, killed = make_store(folder="whole"), make_store(folder="killed")
    train(whole, tiny(), Silent())
    script = (
        "import os, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from tokenmill.model.train import train\n"
        "from tokenmill.pipeline.config import TrainConfig\n"
        "from tokenmill.pipeline.stages.step import Silent\n"
        "class Kill(Silent):\n"
        "    left = 7\n"
        "    def advance(self, amount):\n"
        "        self.left -= 1\n"
        "        if not self.left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "torch.set_num_threads(1)\n"
        "train(Path(sys.argv[1]), TrainConfig.model_validate_json(sys.argv[2]), Kill())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, killed, tiny().model_dump_json()], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in (killed / "model/checkpoints").glob("*.json")] == ["step-00000004.json"]
    train(killed, tiny(), Silent())
    assert published(whole) == published(killed)


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        ("eio", 6),
        ("enospc", 7),
        pytest.param("eio", 1, marks=pytest.mark.soak),
        pytest.param("enospc", 1, marks=pytest.mark.soak),
    ],
)
def test_a_failing_disk_is_an_error_and_the_next_run_ends_bit_equal(
    make_store: Make, tiny: Tiny, kind: Literal["eio", "enospc"], every: int
) -> None:
    config = tiny(steps=3, checkpoint_every=1, evaluate_every=3, layers=1)
    whole = make_store(folder="whole")
    files.inject(None)
    train(whole, config, Silent())
    operations = files.operations()
    for at in range(0, operations, every):
        root = make_store(folder=f"{kind}-{at}")
        files.inject(Fault(at=at, kind=kind))
        try:
            with pytest.raises(OSError, match="."):
                train(root, config, Silent())
        finally:
            files.inject(None)
        train(root, config, Silent())
        files.sweep(root)
        assert published(whole) == published(root), f"{at=}"


def test_nan_stops_the_run_and_the_last_checkpoint_is_whole(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, whole = make_store(), make_store(folder="whole")
    calls = 0

    def breaks(model: GPT, windows: torch.Tensor, **rest: torch.Tensor | None) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return next_token_loss(model, windows, **rest) * (float("nan") if calls == 6 else 1.0)

    monkeypatch.setattr(loop, "next_token_loss", breaks)
    with pytest.raises(Diverged, match=r"update 6 has loss=nan .* lower train.learning_rate=0.01"):
        train(root, tiny(), Silent())
    monkeypatch.undo()
    found = checkpoint.newest(root / "model/checkpoints", Silent())
    assert found is not None
    assert found.state.step == 4
    assert all(parameter.isfinite().all() for parameter in checkpoint.load_model(found).parameters())
    assert max(line["step"] for line in log_of(root)) == 5
    train(root, tiny(), Silent())
    train(whole, tiny(), Silent())
    assert published(whole) == published(root)


def test_another_store_shape_or_seed_is_refused_with_both_values(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    train(root, tiny(), Silent())
    with pytest.raises(StaleInput, match=r"shape.layers was 2 and is 3; shape.width was 16 and is 32"):
        train(root, tiny(layers=3, width=32), Silent())
    with pytest.raises(StaleInput, match="seed was 0 and is 5"):
        train(root, tiny(seed=5), Silent())
    with pytest.raises(StaleInput, match="order was 'windows of 16 tokens' and is 'windows of 16 tokens aligned to documents'"):
        train(root, tiny(align_documents=True), Silent())
    old = manifest.load(root, "pack").hash
    make_store(train=[[1, 2, 3] * 100])
    new = manifest.load(root, "pack").hash
    with pytest.raises(StaleInput, match=f"store was '{old}' and is '{new}'"):
        train(root, tiny(), Silent())


def test_attention_is_that_of_the_settings_and_said_when_it_changes(make_store: Make, tiny: Tiny) -> None:
    roots = {attention: make_store(folder=attention) for attention in ("document", "window")}
    for attention, root in roots.items():
        train(root, tiny(attention=attention, dropout=0.0), Silent())
        found = checkpoint.newest(root / "model/checkpoints", Silent())
        assert found is not None
        assert found.state.config["attention"] == attention
    document, window = (log_of(root) for root in roots.values())
    # The first line is the evaluation of the same weights, before the first update.
    assert document[0]["validation_loss"] != window[0]["validation_loss"]
    assert document[-1]["validation_loss"] != window[-1]["validation_loss"]
    told = Told()
    train(roots["document"], tiny(attention="window", dropout=0.0, steps=13), told)
    assert "attention was 'document' and is 'window'" in told.lines[0]


def test_without_resuming_a_run_begins_anew(make_store: Make, tiny: Tiny) -> None:
    root, fresh = make_store(), make_store(folder="fresh")
    train(root, tiny(layers=3, steps=30), Silent())
    assert train(root, tiny(), Silent(), resume=False).steps_now == 12
    train(fresh, tiny(), Silent())
    assert published(root) == published(fresh)


def test_a_longer_run_goes_on_and_says_what_is_new(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    train(root, tiny(), Silent())
    told = Told()
    result = train(root, tiny(steps=20), told)
    assert (result.step, result.steps_now) == (20, 8)
    assert told.lines[0] == "settings differ from those that the first 12 steps were made with: steps was 12 and is 20"
