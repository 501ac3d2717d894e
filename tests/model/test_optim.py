"""Schedules by hand, decay groups, and updates that must not be made."""

from __future__ import annotations

import math

import pytest
import torch

from tests.model.runs import windows_of
from tokenmill.model import optim
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.muon import orthogonal
from tokenmill.model.optim import Optimizers, Scale
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.pipeline.config import TrainConfig

SIZES = {"layers": 2, "heads": 2, "width": 16, "context_tokens": 8, "vocabulary": 50}
SHAPE = Shape(**SIZES)  # type: ignore[arg-type]
WINDOWS = windows_of(torch.arange(18).reshape(2, 9).tolist())


def config(**changes: object) -> TrainConfig:
    plain = {"learning_rate": 1e-2, "min_learning_rate": 1e-3, "optimizer": "adamw", "schedule": "cosine"}
    return TrainConfig.model_validate({**plain, **changes})


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        ("cosine", 0, 0.2),  # the first of 4 warm-up steps: a fifth of the way
        ("cosine", 3, 0.8),
        ("cosine", 4, 1.0),  # the peak
        ("cosine", 8, 0.1 + 0.9 * (0.5 + math.sqrt(2) / 4)),  # a quarter of the cosine
        ("cosine", 12, 0.55),  # half of it
        ("cosine", 20, 0.1),  # the end
        ("cosine", 99, 0.1),  # and after
        ("linear", 3, 0.8),
        ("linear", 8, 0.1 + 0.9 * 0.75),
        ("linear", 20, 0.1),
        ("wsd", 3, 0.8),
        ("wsd", 4, 1.0),
        ("wsd", 15, 1.0),  # the last fifth begins
        ("wsd", 18, 0.1 + 0.9 * 0.4),
        ("wsd", 20, 0.1),
    ],
)
def test_schedules_by_hand(schedule: str, step: int, rate: float) -> None:
    made = optim.learning_rate(step, config(schedule=schedule, steps=20, warmup_steps=4, decay_fraction=0.25))
    assert made == pytest.approx(rate, abs=1e-12)


def test_schedule_without_warm_up_begins_at_the_peak() -> None:
    assert optim.learning_rate(0, config(steps=5, warmup_steps=0)) == 1


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_schedule_that_is_all_warm_up_only_rises(schedule: str) -> None:
    settings = config(schedule=schedule, steps=5, warmup_steps=9, min_learning_rate=0.0)
    rates = [optim.learning_rate(step, settings) for step in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_each_parameter_has_one_optimizer_and_only_matrices_decay(preset: str, kind: str) -> None:
    model = GPT(Shape(**SIZES, **PRESETS[preset]))  # type: ignore[index, arg-type]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    made = optim.optimizers(model, config(optimizer=kind))
    groups = [(which, group) for which, one in made.each.items() for group in one.param_groups]
    assert sorted(names[id(p)] for _, group in groups for p in group["params"]) == sorted(names.values())
    for which, group in groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert (which == "muon") == (kind == "muon" and name.startswith("blocks.") and parameter.dim() == 2)
            assert (group["weight_decay"] > 0) == (parameter.dim() == 2 and not name.startswith("position."))


def test_singular_values_come_close_to_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((8, 8), (6, 20), (20, 6)):
        made = orthogonal(torch.randn((3, rows, columns), generator=generator) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None])
        values = torch.linalg.svdvals(made)
        assert values.shape == (3, min(rows, columns))
        assert 0.3 < values.min().item() <= values.max().item() < 1.3
        assert torch.equal(orthogonal(made[1:2]), orthogonal(made)[1:2]), "alone as in a stack"


def _trained_once(kind: str = "adamw", clip_norm: float = 1.0) -> tuple[GPT, Optimizers, torch.Tensor, torch.Tensor]:
    model = GPT(SHAPE)
    made = optim.optimizers(model, config(optimizer=kind))
    loss = next_token_loss(model, WINDOWS).nats / WINDOWS.targets
    loss.backward()  # type: ignore[no-untyped-call]
    halted = torch.zeros(())
    norm = optim.update(made, loss.detach(), rate=1.0, clip_norm=clip_norm, halted=halted)
    return model, made, norm, halted


def _moments(made: Optimizers) -> list[torch.Tensor]:
    return [value.clone() for one in made.each.values() for state in one.state.values() for value in state.values()]


def test_gradients_are_clipped_to_the_norm() -> None:
    _, gentle, norm, _ = _trained_once(clip_norm=1e-3)
    first_moment = torch.cat([state["exp_avg"].flatten() for state in gentle.adamw.state.values()])
    # The first moment after one step is (1 - 0.9) times the gradient as it was used.
    assert norm.item() > 0.1
    assert first_moment.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_not_made_nor_any_after_it(kind: str, bad: float) -> None:
    model, made, _, halted = _trained_once(kind)
    assert halted.item() == 0
    before = [parameter.detach().clone() for parameter in model.parameters()]
    moments = _moments(made)
    for factor in (bad, 1.0):
        loss = factor * next_token_loss(model, WINDOWS).nats
        loss.backward()  # type: ignore[no-untyped-call]
        optim.update(made, loss.detach(), rate=1.0, clip_norm=1.0, halted=halted)
        assert halted.item() == 1
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        assert all(torch.equal(a, b) for a, b in zip(moments, _moments(made), strict=True))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_an_update_changes_weights_and_leaves_padding_at_zero(kind: str) -> None:
    model, _, _, _ = _trained_once(kind)
    fresh = GPT(SHAPE)
    assert all(not torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True) if a.dim() == 2)
    assert not model.embedding.weight[SHAPE.vocabulary :].any()


def test_a_scaled_update_is_the_unscaled_one() -> None:
    made = []
    for scale in (None, Scale.first(torch.device("cpu"))):
        model = GPT(SHAPE)
        optimizers = optim.optimizers(model, config())
        loss = next_token_loss(model, WINDOWS).nats / WINDOWS.targets
        (loss if scale is None else loss * scale.value).backward()  # type: ignore[no-untyped-call]
        optim.update(optimizers, loss.detach(), rate=1.0, clip_norm=1.0, halted=torch.zeros(()), scale=scale)
        made.append(list(model.parameters()))
    for a, b in zip(*made, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_an_overflow_skips_one_update_halves_the_scale_and_is_recovered_from(kind: str) -> None:
    model = GPT(SHAPE)
    made = optim.optimizers(model, config(optimizer=kind))
    scale, halted = Scale.first(torch.device("cpu")), torch.zeros(())
    first = scale.value.item()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for factor in (math.inf, 1.0):
        loss = next_token_loss(model, WINDOWS).nats / WINDOWS.targets
        (loss * scale.value * factor).backward()  # type: ignore[no-untyped-call]
        optim.update(made, loss.detach(), rate=1.0, clip_norm=1.0, halted=halted, scale=scale)
        same = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert all(same) == (factor == math.inf)
        assert scale.value.item() == first / 2
        assert halted.item() == 0
    for _ in range(optim.GROWTH_UPDATES):
        scale.follow(torch.tensor(False))
    assert scale.value.item() == first
