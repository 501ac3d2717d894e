"""Plans beside what papers published, and budgets that come out as they went in."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tests.command import tokenmill
from tests.model.runs import Tiny
from tokenmill.flows import planning as flow
from tokenmill.flows import training
from tokenmill.model import memory, plan
from tokenmill.model.plan import TrainingPlan
from tokenmill.model.rate import MeasuredRate
from tokenmill.model.shape import Shape, shape_of
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

LIKE = Shape(layers=1, heads=1, width=64, context_tokens=1_024, vocabulary=32_768)


@pytest.mark.parametrize(
    ("parameters", "flops", "tokens"),
    [(400e6, 1.92e19, 8.0e9), (1e9, 1.21e20, 20.2e9), (10e9, 1.23e22, 205.1e9), (67e9, 5.76e23, 1.5e12)],
)
def test_chinchilla_is_that_of_its_paper(parameters: float, flops: float, tokens: float) -> None:
    """Hoffmann et al. 2022, table 3; its ratio grows to 22."""
    found = plan.chinchilla(flops)
    assert found.parameters == pytest.approx(parameters, rel=0.05)
    assert found.tokens == pytest.approx(tokens, rel=0.1)
    assert 6 * found.parameters * found.tokens == pytest.approx(flops)


def test_kaplan_is_that_of_its_paper() -> None:
    """Kaplan et al. 2020, appendix A: a petaflop/s-day, and the powers of others."""
    day, hundred = plan.kaplan(8.64e19), plan.kaplan(8.64e21)
    assert (day.parameters, day.tokens) == pytest.approx((1.3e9, 2e10))
    assert hundred.parameters / day.parameters == pytest.approx(100**0.73)
    assert hundred.tokens / day.tokens == pytest.approx(100**0.27)


@pytest.mark.parametrize(("parameters", "batch", "rate"), [(7e9, 2_304 * 4_096, 4.2e-4), (67e9, 4_608 * 4_096, 3.2e-4)])
def test_batch_and_rate_are_near_those_that_deepseek_trained_with(parameters: float, batch: int, rate: float) -> None:
    """Bi et al. 2024, table 2: 2 * 10^12 tokens."""
    flops = 6 * parameters * 2e12
    assert plan.batch_tokens(flops) == pytest.approx(batch, rel=0.1)
    assert plan.learning_rate(flops) == pytest.approx(rate, rel=0.03)
    assert plan.learning_rate(1e10) == 3e-3


@pytest.mark.parametrize("wanted", [12e6, 124e6, 1.5e9, 70e9])
def test_a_shape_of_nearly_any_size_is_found(wanted: float) -> None:
    found = plan.shape_near(wanted, LIKE)
    assert found.parameters == pytest.approx(wanted, rel=0.1 if wanted < 1e8 else 0.02)
    assert found.width == 64 * found.heads
    assert 48 <= found.width / found.layers <= 96


def test_a_small_budget_gets_the_smallest_model() -> None:
    assert plan.shape_near(1, LIKE).width == 16


def test_what_is_repeated_is_worth_less() -> None:
    once = plan.repetition(80, {"web": 60, "books": 40}, {})
    assert (once.tokens, once.epochs, once.worth_tokens, once.sources) == (100, 0.8, 80, {})
    four, far = plan.repetition(400, {"web": 100}, {}), plan.repetition(1e6, {"web": 100}, {})
    assert four.worth_tokens == pytest.approx(100 * (1 + 15.39 * (1 - math.exp(-3 / 15.39))))
    assert 370 < four.worth_tokens < 400
    assert far.worth_tokens == pytest.approx(1_639), "however often"
    assert plan.repetition(100, {"web": 60, "books": 40}, {"web": 1, "books": 3}).sources == {"web": 25 / 60, "books": 75 / 40}
    with pytest.raises(ConfigError, match="names pages, which"):
        plan.repetition(100, {"web": 60}, {"pages": 1.0})


def test_budgets_come_out_as_they_went_in() -> None:
    shape, tokens = plan.budget(LIKE, fixed=False, tokens=5e9)
    assert (tokens, tokens / shape.parameters) == (5e9, pytest.approx(20, rel=0.02))
    shape, tokens = plan.budget(LIKE, fixed=False, flops=1e20)
    assert (6 * tokens * shape.parameters, tokens / shape.parameters) == pytest.approx((1e20, 20), rel=0.05)
    fast = MeasuredRate(source="", flops_per_second=1e14)
    shape, tokens = plan.budget(LIKE, fixed=False, seconds=3_600, rate=fast)
    assert fast.seconds(tokens, shape) == pytest.approx(3_600)
    counted = MeasuredRate(source="", tokens_per_second=1e5)
    shape, tokens = plan.budget(LIKE, fixed=False, seconds=3_600, rate=counted)
    assert (tokens, counted.seconds(tokens, shape)) == (3.6e8, 3_600)
    assert plan.budget(LIKE, fixed=True, flops=1e15)[0] == LIKE
    with pytest.raises(ConfigError, match="--hours needs to know"):
        plan.budget(LIKE, fixed=False, seconds=60)


def planned(tokens: float, memory_bytes: float, **changes: object) -> TrainingPlan:
    shape, _ = plan.budget(shape_of(TrainConfig.model_validate({"context_tokens": 256}), 4_096), fixed=False, tokens=tokens)
    config = TrainConfig.model_validate({"context_tokens": 256, **changes})
    cpu = torch.device("cpu")
    return plan.plan(
        shape, config, tokens=tokens, rate=None, memory_bytes=memory_bytes, device=cpu, precision=torch.float32, corpus=None
    )


def test_the_batch_is_the_largest_that_fits() -> None:
    large = planned(1e7, 1e12)
    assert large.batch_tokens == pytest.approx(plan.batch_tokens(large.flops), rel=0.3)
    assert large.config.steps * large.batch_tokens == pytest.approx(1e7, rel=0.01)

    def takes(**changes: object) -> int:
        config = TrainConfig.model_validate(large.config.model_dump() | {"accumulate": 2} | changes)
        return memory.estimate(large.shape, config, precision=torch.float32).total

    room = (takes(batch_windows=4) + takes(batch_windows=8)) / 2
    tight = planned(1e7, room / 0.9)
    assert tight.memory is not None
    assert (tight.config.batch_windows, tight.memory.total) == (4, takes(batch_windows=4))
    assert tight.batch_tokens == pytest.approx(large.batch_tokens, rel=0.3), "more batches for an update, which stays as large"
    # Between what one window takes with activations that are kept, and with those that are computed again.
    kept, again = takes(batch_windows=1), takes(batch_windows=1, recompute=True)
    assert again < kept
    sparing = planned(1e7, (kept + again) / 2 / 0.9)
    assert (sparing.config.batch_windows, sparing.config.recompute) == (1, True)
    assert not planned(1e7, again / 2).fits


def test_the_settings_make_the_planned_run(built: Path, tiny: Tiny) -> None:
    asked = {"train.context_tokens": "32", "train.kv_heads": "1", "train.device": "cpu"}
    nothing = dict.fromkeys(("flops", "hours", "rate", "peak_teraflops", "mfu", "memory_bytes", "vocabulary"))
    made = flow.plan(built, asked, **{**nothing, "tokens": 2e5, "memory_bytes": 1e9, "rate": 50.0})
    _, config = training.wanted_of(built, {name: str(value) for name, value in made.settings.items()})
    assert shape_of(config, 260) == made.shape, "with its one head of keys and values"
    assert config.steps * config.batch_windows * config.accumulate * 32 == pytest.approx(2e5, rel=0.1)
    assert (config.learning_rate, config.device) == (made.config.learning_rate, "cpu")
    assert made.seconds == 4_000
    assert made.corpus is not None
    assert made.corpus.epochs > 4


def test_what_is_set_stays() -> None:
    shape = shape_of(TrainConfig(), 1_000)
    asked = {"batch_windows": 3, "accumulate": 2, "learning_rate": 0.01, "warmup_steps": 7}
    given = {f"train.{name}": str(value) for name, value in asked.items()}
    for room, fits in ((1e9, True), (20e6, False), (1e6, False)):
        made = plan.plan(
            shape,
            TrainConfig.model_validate(asked),
            **{"tokens": 1e6, "rate": None, "memory_bytes": room, "corpus": None, "given": given},
            **{"device": torch.device("cpu"), "precision": torch.float32},
        )
        assert {name: made.settings[f"train.{name}"] for name in asked} == asked
        assert (made.config.min_learning_rate, made.fits) == (0.001, fits)
    assert made.memory is None, "what needs no computation comes first"


def test_the_log_of_a_training_says_how_fast_the_machine_is(built: Path, tiny: Tiny) -> None:
    asked = {"train.steps": "12", "train.warmup_steps": "1", "train.batch_windows": "1", "train.device": "cpu"}
    training.run(built, {**asked, "train.sample_tokens": "0"}, Silent(), restart=True)
    done = tokenmill("plan", built, "--hours", "0.01", "--memory-gb", "4", "--json")
    assert done.returncode == 0, done
    found = json.loads(done.stdout)
    assert found["seconds"] == pytest.approx(36)
    assert found["rate"]["source"].startswith("the log of ")
    assert found["corpus"]["tokens"] > 0
    assert found["fits"]


def test_the_command_says_what_it_needs() -> None:
    done = tokenmill("plan", "--tokens", "1e6", "--vocabulary", "1000", "--memory-gb", "2")
    assert done.returncode == 0, done
    for said in (
        "Hoffmann et al. 2022",
        "Kaplan et al. 2020",
        "unknown; give --rate",
        "tokenmill train CORPUS --set train.model=",
    ):
        assert said in done.stdout
    for arguments, said in (
        (("--tokens", "1e7", "--hours", "1"), "give one of --tokens, --flops and --hours"),
        (("--hours", "1"), "--hours needs to know how fast"),
        (("--tokens", "1e7", "--mfu", "0.4"), "a rate is --peak-teraflops times --mfu"),
        (("--tokens", "1e7", "--set", "dedup.threshold=1"), "training takes only settings of the section `train`"),
    ):
        done = tokenmill("plan", *arguments)
        assert (done.returncode, said in done.stderr) == (1, True), done
