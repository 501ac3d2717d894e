"""The log of a training, as it is left by runs that go on, by kills, and by strangers."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenmill.pipeline.report.history import NUMBERS, SAMPLE_CHARACTERS, TOGETHER, History


def line(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": step + 0.5, "tokens": 10 * step, **more}


def follow(path: Path, *lines: dict[str, Any] | str) -> History:
    path.write_text("".join(one if isinstance(one, str) else json.dumps(one) + "\n" for one in lines))
    history = History(path=path)
    history.follow()
    return history


def oracle(lines: list[dict[str, Any]]) -> tuple[list[int], list[int], list[int]]:
    """Steps of updates, evaluations and samples: of each kind those that no later line takes back."""
    kinds = ("loss", "validation_loss", "sample")
    kept = []
    for at, one in enumerate(lines):
        kind = next(kind for kind in kinds if kind in one)
        if not any(
            later["step"] < one["step"] or (later["step"] == one["step"] and kind in later) for later in lines[at + 1 :]
        ):
            kept.append((kind, one["step"]))
    updates, evaluations, samples = ([step for found, step in kept if found == kind] for kind in kinds)
    return updates, evaluations, samples


def test_each_step_has_what_was_said_of_it_last(tmp_path: Path) -> None:
    """A run was killed after step 5, went on from a checkpoint of step 2, and is now at step 4."""
    first = [line(step, loss=1.0) for step in (1, 2, 3, 4, 5)]
    second = [line(step, loss=2.0) for step in (3, 4)]
    history = follow(tmp_path / "log.jsonl", *first, {"step": 5, "validation_loss": 9.0}, {"step": 5, "sample": "x"}, *second)
    assert history.steps.tolist() == [1, 2, 3, 4]
    assert history.column("loss").tolist() == [1.0, 1.0, 2.0, 2.0]
    assert (history.evaluations, history.samples, history.last) == ([], [], 4)


@pytest.mark.parametrize("seed", range(20))
def test_lines_of_runs_that_go_on_are_those_of_the_oracle(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    lines: list[dict[str, Any]] = []
    for _ in range(draw.randint(1, 5)):
        first = draw.randint(0, 20)
        for step in range(first, first + draw.randint(1, 10)):
            lines.append(line(step))
            if draw.random() < 0.4:
                lines.append({"step": step, "validation_loss": 1.0})
            if draw.random() < 0.3:
                lines.append({"step": step, "sample": "x"})
    history = follow(tmp_path / "log.jsonl", *lines)
    found = (history.steps.tolist(), [one.step for one in history.evaluations], [one.step for one in history.samples])
    assert found == oracle(lines)
    assert history.unreadable == 0


def test_a_log_is_followed_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    history = History(path=path)
    history.follow()
    assert (history.last, history.steps.tolist()) == (0, [])
    whole = "".join(json.dumps(line(step)) + "\n" for step in range(1, 2 * TOGETHER))
    # Cut anywhere: the rest of a line comes later.
    for end in (10, 100, len(whole) // 2, len(whole)):
        path.write_text(whole[:end])
        history.follow()
    assert history.steps.tolist() == list(range(1, 2 * TOGETHER))
    assert history.unreadable == 0


def test_lines_that_are_none_are_counted(tmp_path: Path) -> None:
    wrong = ["{\n", '{"step":3,"lo\n', "null\n", "[" * 100_000 + "\n", "\n", "1],[2\n", '{"step":1}\n', '{"loss":1}\n']
    wrong += ['{"step":true,"loss":1}\n', '{"step":-1,"loss":1}\n', '{"step":1.5,"loss":1}\n', f'{{"step":{2**70},"loss":1}}\n']
    history = follow(tmp_path / "log.jsonl", line(1), *wrong, line(2), '{"step":3,"loss":')
    assert history.steps.tolist() == [1, 2]
    assert history.unreadable == len(wrong)
    (tmp_path / "bytes.jsonl").write_bytes(b'\xff\xfe\n{"step":1,"loss":1}\n')
    history = History(path=tmp_path / "bytes.jsonl")
    history.follow()
    assert (history.steps.tolist(), history.unreadable) == ([1], 1)


def test_what_is_not_a_finite_number_is_not_a_number(tmp_path: Path) -> None:
    wrong = ["NaN", "Infinity", "-Infinity", "1e999", '"1"', "true", "null", "[1]", str(10**400)]
    lines = [f'{{"step":{step},"loss":{value}}}\n' for step, value in enumerate(wrong)]
    history = follow(
        tmp_path / "log.jsonl", *lines, {"step": 50, "validation_loss": "x", "sources": 3, "languages": {"en": None}}
    )
    assert np.isnan(history.column("loss")).all()
    assert history.steps.tolist() == list(range(len(wrong)))
    (one,) = history.evaluations
    assert math.isnan(one.loss)
    assert one.sources == {}
    assert math.isnan(one.languages["en"])


def test_all_that_the_log_says_is_kept(tmp_path: Path) -> None:
    full = {name: float(place) for place, name in enumerate(NUMBERS)}
    history = follow(
        tmp_path / "log.jsonl",
        {"step": 1, **full, "seconds": {"data": 1.0, "forward": 2.0}},
        {"step": 2, **full, "seconds": {"data": 3.0, "other": 1e999}, "skipped": True},
        {"step": 2, "validation_loss": 2.0, "bits_per_byte": 1.5, "sources": {"a": 2.0}, "languages": {"en": 2.5}},
        {"step": 2, "sample": "x" * (2 * SAMPLE_CHARACTERS)},
    )
    assert {name: history.column(name).tolist() for name in NUMBERS} == {name: [value, value] for name, value in full.items()}
    assert (history.seconds, history.timed, history.skipped) == ({"data": 4.0, "forward": 2.0, "other": 0.0}, 2, [2])
    assert [(one.step, one.loss, one.bits_per_byte, one.sources, one.languages) for one in history.evaluations] == [
        (2, 2.0, 1.5, {"a": 2.0}, {"en": 2.5})
    ]
    assert [(one.step, len(one.text)) for one in history.samples] == [(2, SAMPLE_CHARACTERS)]
