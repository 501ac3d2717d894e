"""Training: what is learnt and measured, the same bytes every time, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.command import Done, tokenmill
from tokenmill.flows import classifier as quality
from tokenmill.flows.cli.draw.classifier import show
from tokenmill.pipeline.base.errors import ConfigError, InputError, QuarantineCeiling, WorkerDied
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.stages import fasttext
from tokenmill.pipeline.stages.quality.train import MIN_BUCKETS, NEGATIVE, POSITIVE, Measured, Training, train

Trained = Any
SMALL = Training(buckets=MIN_BUCKETS, epochs=20)


def test_a_fifth_is_held_out(trained: Trained) -> None:
    measured = trained.measured
    assert measured.learnt == {POSITIVE: 48, NEGATIVE: 48}
    assert {label: len(scores) for label, scores in measured.scores.items()} == {POSITIVE: 12, NEGATIVE: 12}
    assert (measured.accuracy, measured.precision, measured.recall) == (1.0, 1.0, 1.0)


def test_figures_by_hand() -> None:
    scores = {POSITIVE: np.array([0.9, 0.5, 0.4, 0.8]), NEGATIVE: np.array([0.1, 0.6])}
    measured = Measured(learnt={}, scores=scores, contradicting=0)
    assert measured.accuracy == pytest.approx(4 / 6)
    assert measured.precision == pytest.approx(3 / 4)
    assert measured.recall == pytest.approx(3 / 4)
    assert measured.quantiles()[0] == (0.0, 0.4, 0.1)
    assert measured.quantiles()[-1] == (1.0, 0.9, 0.6)
    nothing = Measured(learnt={}, scores={POSITIVE: np.array([0.1]), NEGATIVE: np.array([0.1])}, contradicting=0)
    assert nothing.precision == 0.0


def test_the_same_bytes_every_time(trained: Trained, tmp_path: Path) -> None:
    """Freed memory full of NaN before every run, other orders of the documents: always the same model."""
    wanted = fasttext.sha256(str(trained.path))
    for run in range(2):
        waste = [np.full(50_000 + 977 * number, np.nan, np.float32) for number in range(40)]
        del waste
        shuffled = {side: random.Random(run).sample(texts, len(texts)) for side, texts in trained.examples.items()}
        path = tmp_path / f"{run}.bin"
        train(shuffled["positive"], shuffled["negative"], path, SMALL)
        assert fasttext.sha256(str(path)) == wanted
    other = tmp_path / "seed.bin"
    train(trained.examples["positive"], trained.examples["negative"], other, dataclasses.replace(SMALL, seed=1))
    assert fasttext.sha256(str(other)) != wanted
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0.bin", "1.bin", "seed.bin"]


def test_the_smallest_matrix_comes_from_fresh_pages() -> None:
    """glibc's malloc never takes 32 MiB or more from freed memory."""
    assert MIN_BUCKETS * 100 * 4 > 32 << 20


@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [
        ([], ["a"] * 9, "0 distinct positive documents"),
        ([f"a {number}" for number in range(9)], ["b"] * 9, "1 distinct negative documents"),
        ([f"a {number}" for number in range(9)], [f"a {number}" for number in range(9)], "besides 9 that are on both sides"),
        ([f"a {number}" for number in range(9)], [" ", "\n", "", "</s>", "__label__x"], "0 distinct negative"),
    ],
)
def test_too_few_documents(positive: list[str], negative: list[str], message: str, tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="fastText has no package for this Python")
    with pytest.raises(InputError, match=message):
        train(positive, negative, tmp_path / "model.bin", SMALL)
    assert not list(tmp_path.iterdir())


def test_a_learning_rate_that_diverges(trained: Trained, tmp_path: Path) -> None:
    wild = dataclasses.replace(SMALL, learning_rate=1e30)
    with pytest.raises(InputError, match="set a lower one"):
        train(trained.examples["positive"], trained.examples["negative"], tmp_path / "model.bin", wild)
    assert not list(tmp_path.iterdir())


def killed(*_: object) -> None:
    """Stands for `_learn` when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_no_learning_rate(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenmill.pipeline.stages.quality.train._learn", killed)
    with pytest.raises(WorkerDied, match="was killed"):
        train(trained.examples["positive"], trained.examples["negative"], tmp_path / "model.bin", SMALL)
    assert not list(tmp_path.iterdir())


def run(positive: Path, negative: Path, out: Path, **settings: Any) -> Measured:
    paths = {"positive": str(positive), "negative": str(negative)}
    return quality.train(**paths, out=out, **{"text_field": "text", "training": SMALL, "progress": Silent()} | settings)


def test_the_files_make_no_difference(trained: Trained, tmp_path: Path) -> None:
    sides = {}
    for side, texts in trained.examples.items():
        (tmp_path / side).mkdir()
        for number, text in enumerate(texts[:30]):
            (tmp_path / side / f"{number}.txt").write_text(text)
        lines = [json.dumps({"content": text}) for text in texts]
        (tmp_path / f"{side}.jsonl").write_text("\n".join(lines))
        (tmp_path / side / "rest.txt").write_text("")
        sides[side] = tmp_path / f"{side}.jsonl"
    run(sides["positive"], sides["negative"], tmp_path / "out" / "a.bin", text_field="content")
    assert fasttext.sha256(str(tmp_path / "out" / "a.bin")) == fasttext.sha256(str(trained.path))
    measured = run(tmp_path / "positive", tmp_path / "negative", tmp_path / "out" / "b.bin")
    assert measured.learnt == {POSITIVE: 24, NEGATIVE: 24}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.bin", "b.bin"]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, InputError, "does not exist"),
        (b'{"txt": "a"}\n', QuarantineCeiling, "quarantine"),
        (b"\xff\xfe{}\n" * 9, QuarantineCeiling, "quarantine"),
        (b"", InputError, "0 distinct negative documents"),
        (b'{"text": "one"}\n', InputError, "1 distinct negative documents"),
    ],
)
def test_bad_input(trained: Trained, content: bytes | None, error: type[Exception], message: str, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text("\n".join(json.dumps({"text": text}) for text in trained.examples["positive"]))
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(error, match=message):
        run(good, bad, tmp_path / "out" / "model.bin")
    assert not list((tmp_path / "out").iterdir())


def test_without_fasttext_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(ConfigError, match=r"Python 3\.13"):
        train(iter(()), iter(()), tmp_path / "model.bin", SMALL)


def test_what_is_shown(trained: Trained) -> None:
    console = Console(record=True, width=100)
    show(trained.measured, trained.path, console)
    shown = console.export_text()
    assert "48 positive and 48 negative" in shown
    assert "accuracy 1.0000, precision 1.0000, recall 1.0000" in shown
    assert "50%" in shown


def test_spam_is_told_from_ham(shared_data: Path, tmp_path: Path) -> None:
    """The defaults on 5,572 messages: at least 0.95 of the held-out fifth is right."""
    pytest.importorskip("fasttext", reason="fastText has no package for this Python")
    with open(shared_data / "quality" / "sms_spam" / "spam.csv", encoding="utf-8", errors="replace", newline="") as handle:
        rows = list(csv.reader(handle))[1:]
    sides = {label: [row[1] for row in rows if row[0] == label] for label in ("ham", "spam")}
    measured = train(sides["ham"], sides["spam"], tmp_path / "sms.bin", Training(buckets=MIN_BUCKETS))
    held_out = sum(map(len, measured.scores.values()))
    print(f"accuracy {measured.accuracy:.4f} on {held_out} messages, {measured.precision=:.4f}, {measured.recall=:.4f}")
    assert held_out == 903 + 128
    assert measured.accuracy >= 0.95


def test_the_command(trained: Trained, tmp_path: Path) -> None:
    for side, texts in trained.examples.items():
        (tmp_path / f"{side}.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))

    def command(*arguments: str | Path) -> Done:
        return tokenmill("quality", "train", *arguments)

    sides = ("--positive", tmp_path / "positive.jsonl", "--negative", tmp_path / "negative.jsonl")
    done = command(*sides, "--out", tmp_path / "model.bin", "--buckets", "100000", "--epochs", "20")
    assert (done.returncode, done.stderr) == (0, "")
    assert "accuracy 1.0000" in done.stdout
    assert fasttext.sha256(str(tmp_path / "model.bin")) == fasttext.sha256(str(trained.path))
    missing = command("--positive", tmp_path / "none", *sides[2:], "--out", tmp_path / "other.bin")
    assert (missing.returncode, "Traceback" in missing.stderr) == (1, False)
    assert "none' does not exist" in missing.stderr
    assert command(*sides, "--out", tmp_path / "other.bin", "--buckets", "1000").returncode == 2
    assert not (tmp_path / "other.bin").exists()
