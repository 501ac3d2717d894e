"""The loop: it learns, it can be killed anywhere, and weights never see NaN."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from model import checkpoint
from model import train as loop
from model.gpt import GPT, next_token_loss
from model.train import Diverged, train
from pipeline import files, manifest
from pipeline.config import TrainConfig
from pipeline.errors import ConfigError, CorruptFile, InputError, NotBuilt, StaleInput
from pipeline.files import Fault
from pipeline.work import Silent

Make = Callable[..., Path]
Tiny = Callable[..., TrainConfig]


class Stopped(BaseException):
    """Ends a run from inside, as a signal would."""


class StopAt(Silent):
    """Stops a run after so many updates."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, amount: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped


class Told(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.begun: list[tuple[str, int, str]] = []
        self.advanced = 0

    def begin(self, step: str, total: int, unit: str) -> None:
        self.begun.append((step, total, unit))

    def advance(self, amount: int) -> None:
        self.advanced += amount

    def say(self, line: str) -> None:
        self.lines.append(line)


def published(root: Path) -> dict[str, bytes]:
    """Everything below `model` but the log, which is a history."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted((root / "model").rglob("*"))
        if path.is_file() and path.name != "log.jsonl"
    }


def log_of(root: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (root / "model/log.jsonl").read_text().splitlines()]


def test_loss_falls_and_what_is_published_can_be_verified(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    told = Told()
    result = train(root, tiny(steps=60, dropout=0.0, evaluate_every=30), told)
    assert (result.step, result.steps_now, result.tokens) == (60, 60, 60 * 4 * 16)
    assert [evaluation.step for evaluation in result.evaluations] == [0, 30, 60]
    assert result.evaluations[0].loss == pytest.approx(3.91, abs=0.1)  # ln 50
    assert result.evaluations[-1].loss < 2.5
    assert told.begun == [("train", 60 * 4 * 16, "tokens")]
    assert told.advanced == 60 * 4 * 16
    assert "step 30 of 60: training loss" in told.lines[1]
    made = manifest.load(root, "model")
    assert not list(manifest.problems(root, made))
    assert made.inputs == {"pack": manifest.load(root, "pack").hash}
    assert {Path(name).name for name in made.files} == {
        f"step-00000060.{ending}" for ending in ("json", "weights.safetensors", "optimizer.safetensors")
    }


def test_bits_per_byte_are_those_of_the_whole_split(make_store: Make, tiny: Tiny) -> None:
    result = train(make_store(), tiny(evaluate_windows=1), Silent())
    first, last = result.evaluations[0], result.evaluations[-1]
    assert (first.tokens, first.bits_per_byte) == (16, None)
    # 4 documents of 19 ids, 2 bytes each, and an end-of-text: 80 tokens for 152 bytes, 4 windows of 16.
    assert last.tokens == 64
    assert last.bits_per_byte == pytest.approx(last.loss / 0.693147 * 80 / 152, rel=1e-5)


def test_the_log_has_one_line_per_update(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    train(root, tiny(), Silent())
    lines = [line for line in log_of(root) if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[0]["learning_rate"] == pytest.approx(1e-2 / 4)


def test_a_finished_run_does_nothing(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_store()
    first = train(root, tiny(), Silent())
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    monkeypatch.setattr(loop, "GPT", None)
    again = train(root, tiny(), Silent())
    assert again.steps_now == 0
    assert (again.evaluations, again.tokens) == (first.evaluations, first.tokens)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("stop", [1, 3, 4, 5, 7, 8, 9, 11, 12])
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
        "from model.train import train\n"
        "from pipeline.config import TrainConfig\n"
        "from pipeline.work import Silent\n"
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


def test_accumulation_equals_one_big_batch(make_store: Make, tiny: Tiny) -> None:
    big, parts = make_store(folder="big"), make_store(folder="parts")
    train(big, tiny(batch_windows=4, dropout=0.0, steps=3), Silent())
    train(parts, tiny(batch_windows=1, accumulate=4, dropout=0.0, steps=3), Silent())
    for a, b in zip(log_of(big), log_of(parts), strict=True):
        assert a == pytest.approx(b, rel=1e-5, nan_ok=False)
    models = [checkpoint.newest(root / "model/checkpoints", Silent()) for root in (big, parts)]
    one, other = (checkpoint.load_model(found) for found in models if found)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_dropout_is_drawn_from_seed_and_step_and_leaves_the_process_alone(make_store: Make, tiny: Tiny) -> None:
    one, other = make_store(folder="one"), make_store(folder="other")
    torch.manual_seed(1)
    train(one, tiny(dropout=0.3), Silent())
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert drawn == torch.rand(1)
    train(other, tiny(dropout=0.3), Silent())
    assert published(one) == published(other)
    assert len({loop._draw(seed, step) for seed in range(30) for step in range(30)}) == 900


def test_nan_stops_the_run_and_the_last_checkpoint_is_whole(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, whole = make_store(), make_store(folder="whole")
    calls = 0

    def breaks(model: GPT, windows: torch.Tensor, *, kept: torch.Tensor | None = None) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return next_token_loss(model, windows, kept=kept) * (float("nan") if calls == 6 else 1.0)

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


@pytest.mark.parametrize("kind", ["flip", "cut", "gone"])
def test_a_changed_token_is_found_before_the_first_step(make_store: Make, tiny: Tiny, kind: str) -> None:
    root = make_store()
    path = root / "tokens/train/00000.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data if kind == "flip" else data[:-1])
    if kind == "gone":
        path.unlink()
    with pytest.raises(CorruptFile, match="00000.bin"):
        train(root, tiny(), Silent())
    assert not (root / "model").exists()


def test_a_store_that_is_missing_or_too_small_is_refused(make_store: Make, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="pack"):
        train(tmp_path / "nothing", tiny(), Silent())
    with pytest.raises(InputError, match="pack more text"):
        train(make_store(train=[[1, 2, 3]]), tiny(), Silent())


def test_a_store_without_validation_trains_and_says_so(make_store: Make, tiny: Tiny) -> None:
    told = Told()
    result = train(make_store(val=[]), tiny(), told)
    assert result.evaluations == ()
    assert "no validation" in told.lines[0]


def test_a_device_that_is_not_there_is_refused(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="train.device=cuda:1"):
        train(make_store(), tiny(device="cuda:1"), Silent())
