"""Range tests of learning rates."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.command import tokenmill
from tests.model.runs import Make, Tiny
from tokenmill.flows.cli.draw.rates import verdict
from tokenmill.flows.training import RatesTried
from tokenmill.model import optim
from tokenmill.model.range_test import Tried, lowest, range_test, steepest
from tokenmill.pipeline.base.progress import Silent


def test_the_loss_falls_between_rates_that_do_nothing_and_rates_that_destroy(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    tried = range_test(root, tiny(dropout=0.0), Silent(), updates=60)
    assert [tried[0].part, tried[-1].part] == [pytest.approx(1e-3), pytest.approx(10.0)]
    best = lowest(tried)
    assert best.loss < tried[0].loss - 0.5
    assert tried[0].part < steepest(tried).part < best.part
    assert tried == range_test(root, tiny(dropout=0.0), Silent(), updates=60)
    assert not (root / "model").exists()


def test_it_ends_where_the_loss_is_lost(make_store: Make, tiny: Tiny) -> None:
    tried = range_test(make_store(), tiny(learning_rate=100.0, dropout=0.0), Silent(), updates=60)
    assert len(tried) < 60
    assert lowest(tried).part < 0.1


def test_an_update_reads_all_its_batches(make_store: Make, tiny: Tiny) -> None:
    """The rates that suit a batch of 4 windows do not suit one of 16."""
    root = make_store()
    small = range_test(root, tiny(dropout=0.0, batch_windows=2, accumulate=2, ramp_steps=9), Silent(), updates=12)
    whole = range_test(root, tiny(dropout=0.0, batch_windows=4), Silent(), updates=12)
    assert [one.loss for one in small] == pytest.approx([one.loss for one in whole], rel=1e-5)


def test_it_ends_at_a_gradient_that_is_not_finite(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    made = optim.update

    def fails(optimizers: optim.Optimizers, loss: Tensor, **how: Any) -> Tensor:
        if 0.004 < how["rate"] < 0.005:
            optimizers.adamw.param_groups[0]["params"][0].grad.fill_(math.inf)
        return made(optimizers, loss, **how)

    monkeypatch.setattr(optim, "update", fails)
    assert len(range_test(make_store(), tiny(), Silent(), updates=20)) == 3


def test_one_update_is_both() -> None:
    only = Tried(part=1.0, loss=2.0)
    assert steepest([only]) is lowest([only]) is only


def test_through_the_command(built: Path) -> None:
    before = sorted(built.rglob("*"))
    small = ["--updates", "12", "--set", "train.layers=1", "--set", "train.context_tokens=16"]
    found = json.loads(tokenmill("range-test", built, *small, "--json").stdout)
    assert len(found["losses"]) == 12
    assert set(found["peaks"]) == {"learning_rate", "muon_learning_rate"}
    assert "train.learning_rate: fastest at" in " ".join(tokenmill("range-test", built, *small).stdout.split())
    assert sorted(built.rglob("*")) == before
    assert tokenmill("range-test", built, "--updates", "9").returncode == 2


@pytest.mark.parametrize(
    ("steepest", "best", "said"),
    [(0.1, 0.5, "Take peaks between"), (0.1, 1.0, "still falls at the highest"), (0.5, 0.1, "more --updates")],
)
def test_the_verdict_is_that_of_the_curve(steepest: float, best: float, said: str) -> None:
    losses = [(part, 3.0) for part in (0.1, 0.5, 1.0)]
    assert said in verdict(RatesTried(peaks={"learning_rate": 1.0}, losses=losses, steepest=steepest, lowest=best))
