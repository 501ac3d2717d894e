"""A run that was stopped, killed or refused goes on: it ends with the weights of one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from typing import Any, Literal

import pytest
import torch

from tests.model.runs import Make, SignalAt, StopAt, Stopped, Tiny, Told, log_of, published
from tokenmill.model import checkpoint, evaluate, setup, stops
from tokenmill.model import train as training
from tokenmill.model.data import Windows
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import Loss, next_token_loss
from tokenmill.model.objectives import objective
from tokenmill.model.shape import shape_of
from tokenmill.model.train import train
from tokenmill.pipeline.base import files, formats, manifest
from tokenmill.pipeline.base.errors import ConfigError, Diverged, Interrupted, StaleInput
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import Batch, Samples, samples_of


def test_a_finished_run_does_nothing(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_store()
    first = train(root, tiny(), Silent())
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    monkeypatch.setattr(training, "GPT", None)
    again = train(root, tiny(), Silent())
    assert again.steps_now == 0
    assert (again.evaluations, again.tokens) == (first.evaluations, first.tokens)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_another_optimizer_is_another_run(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    train(root, tiny(steps=4), Silent())
    before = published(root)
    with pytest.raises(StaleInput, match="optimizer was 'adamw' and is 'muon'"):
        train(root, tiny(steps=8, optimizer="muon"), Silent())
    assert published(root) == before


@pytest.mark.parametrize(("was", "now"), [("float32", "float16"), ("float16", "float32")])
def test_a_run_goes_on_in_another_precision(make_store: Make, tiny: Tiny, was: str, now: str) -> None:
    root = make_store()
    train(root, tiny(steps=4, precision=was), Silent())
    assert train(root, tiny(steps=8, precision=now), Silent()).steps_now == 4


def test_a_refusal_leaves_what_was_published(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_store()
    train(root, tiny(steps=4), Silent())
    before = published(root)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match=r"train\.compile"):
        train(root, tiny(steps=8, compile=True), Silent())
    assert published(root) == before
    store = TokenStore.open(root / "tokens")
    with pytest.raises(ConfigError, match=r"there is none of gcc, clang, cc here"):
        setup.prepare(store, shape_of(tiny(), 50), tiny(compile=True), device=torch.device("cuda"), precision=torch.bfloat16)


def test_fewer_updates_than_were_made_are_said(make_store: Make, tiny: Tiny) -> None:
    root, told = make_store(), Told()
    train(root, tiny(steps=8), Silent())
    assert train(root, tiny(steps=4), told).step == 8
    assert told.lines[-1] == "the run has made 8 updates, more than train.steps=4: it stays as it is"


def test_settings_that_an_older_version_did_not_know_are_no_change(make_store: Make, tiny: Tiny) -> None:
    root, told = make_store(), Told()
    train(root, tiny(steps=4), Silent())
    path = root / "model/checkpoints/step-00000004.json"
    plain = {name: value for name, value in json.loads(path.read_bytes()).items() if name != "hash"}
    for name in ("compile", "ramp_steps", "sample_tokens"):
        del plain["config"][name]
    path.write_bytes(files.canonical_json(formats.sealed(plain)))
    train(root, tiny(steps=8), told)
    assert "settings differ from those that the first 4 steps were made with: steps was 4 and is 8" in told.lines


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    "step", [1, 6, *(pytest.param(step, marks=pytest.mark.soak) for step in (2, 3, 4, 5, 7, 8, 9, 10, 11))]
)
def test_a_signal_ends_a_run_after_the_update_and_no_work_is_lost(
    make_store: Make, tiny: Tiny, number: signal.Signals, step: int
) -> None:
    whole, stopped = make_store(folder="whole"), make_store(folder="stopped")
    config = tiny(model="modern", optimizer="muon", checkpoint_every=12)
    train(whole, config, Silent())
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"stopped after step {step}; run the same command again") as told:
        train(stopped, config, SignalAt(step, number))
    assert told.value.number == number
    assert signal.getsignal(number) == before
    assert [path.name for path in (stopped / "model/checkpoints").glob("*.json")] == [f"step-{step:08d}.json"]
    assert train(stopped, config, Silent()).steps_now == 12 - step
    last = {name: data for name, data in published(stopped).items() if f"step-{step:08d}" not in name}
    assert last == published(whole)


class SignalIn(Silent):
    """Sends this process SIGTERM in one call of a function."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, of: object, name: str, call: int) -> None:
        self.left, real = call, getattr(of, name)

        def then(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return real(*arguments, **named)

        monkeypatch.setattr(of, name, then)


@pytest.mark.parametrize(
    ("of", "name", "call", "at"),
    [
        (evaluate, "token_losses", 1, 0),  # each evaluation has two batches
        (evaluate, "token_losses", 3, 4),
        (evaluate, "token_losses", 7, 12),
        (checkpoint, "publish", 1, 4),
        (checkpoint, "publish", 3, None),
    ],
)
def test_a_signal_in_an_evaluation_or_a_checkpoint_loses_nothing(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, of: object, name: str, call: int, at: int | None
) -> None:
    whole, stopped = make_store(folder="whole"), make_store(folder="stopped")
    config = tiny(evaluate_windows=5)
    train(whole, config, Silent())
    with monkeypatch.context() as patch:
        sender = SignalIn(patch, of, name, call)
        if at is None:
            train(stopped, config, sender)
        else:
            with pytest.raises(Interrupted, match=f"stopped after step {at};" if at else "stopped before the first step;"):
                train(stopped, config, sender)
            assert (stopped / f"model/checkpoints/step-{at:08d}.json").exists() == (at > 0)
    assert train(stopped, config, Silent()).steps_now == (0 if at is None else 12 - at)
    assert published(whole) == published(stopped)


def test_a_second_signal_ends_a_run_at_once_but_not_the_same_wish_twice(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Twice(Silent):
        def advance(self, amount: int) -> None:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)

        def say(self, line: str) -> None:
            if line.startswith("stopping"):
                raise RuntimeError("reentrant call")

    root = make_store()
    with pytest.raises(Interrupted, match="stopped after step 1;"):
        train(root, tiny(), Twice())
    monkeypatch.setattr(stops, "TWICE_SECONDS", -1.0)
    with pytest.raises(KeyboardInterrupt):
        train(root, tiny(), Twice())
    assert [path.name for path in (root / "model/checkpoints").glob("*.json")] == ["step-00000001.json"]


def test_a_run_stopped_twice_across_the_end_of_an_epoch_reads_the_same_samples(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """38 windows an epoch, 4 an update: the 10th update crosses its end. And in an epoch, every token is a target once."""
    reads: list[tuple[int, int]] = []
    read = Samples.read

    def noting(samples: Samples, first: int, count: int) -> Batch:
        reads.append((first, count))
        return read(samples, first, count)

    monkeypatch.setattr(Samples, "read", noting)
    whole, stopped = make_store(folder="whole"), make_store(folder="stopped")
    train(whole, tiny(steps=20), Silent())
    for step in (9, 4):
        with pytest.raises(Interrupted):
            train(stopped, tiny(steps=20), SignalAt(step, signal.SIGTERM))
    train(stopped, tiny(steps=20), Silent())
    kept = ("step-00000016", "step-00000020", "manifest")
    ours, theirs = (
        {name: data for name, data in published(root).items() if any(part in name for part in kept)}
        for root in (stopped, whole)
    )
    assert ours == theirs
    assert set(reads) >= {(first, 4) for first in range(0, 80, 4)}
    store = TokenStore.open(whole / "tokens")
    samples = samples_of(store, tiny(steps=20))
    seen = Counter(token for number in range(samples.windows) for token in range(*samples.targets(number)))
    assert seen == Counter(range(store.split("train").tokens))


def test_a_stopped_run_over_a_mixture_of_aligned_windows_ends_bit_equal(make_store: Make, tiny: Tiny) -> None:
    config = tiny(align_documents=True, weights={"train": 2.0}, most_epochs=3)
    whole, stopped = make_store(folder="whole"), make_store(folder="stopped")
    told = Told()
    train(whole, config, told)
    # 600 tokens are 36 aligned windows; 12 updates of 4 read 48.
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

    def breaks(model: GPT, windows: Windows, **rest: Any) -> Loss:
        nonlocal calls
        calls += 1
        loss = next_token_loss(model, windows, **rest)
        return loss._replace(nats=loss.nats * (float("nan") if calls == 6 else 1.0))

    monkeypatch.setattr(objective, "next_token_loss", breaks)
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
    with pytest.raises(
        StaleInput, match="order was 'windows of 16 targets' and is 'windows of 16 targets aligned to documents'"
    ):
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
    assert told.lines[1].startswith("the run had ended at step 12, and its learning rate had fallen for that")
