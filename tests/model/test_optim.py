"""The schedule by hand, decay groups, and updates that must not be made."""

from __future__ import annotations

import math

import pytest
import torch

from tokenmill.model import optim
from tokenmill.model.gpt import GPT, Shape, next_token_loss

SHAPE = Shape(layers=2, heads=2, width=16, context_tokens=8, vocabulary=50)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.2),  # the first of 4 warm-up steps: a fifth of the way
        (3, 0.8),
        (4, 1.0),  # the peak
        (8, 0.1 + 0.9 * (0.5 + math.sqrt(2) / 4)),  # a quarter of the cosine
        (12, 0.55),  # half of it
        (20, 0.1),  # the end
        (99, 0.1),  # and after
    ],
)
def test_schedule_by_hand(step: int, rate: float) -> None:
    made = optim.learning_rate(step, steps=20, warmup_steps=4, peak=1.0, floor=0.1)
    assert made == pytest.approx(rate, abs=1e-12)


def test_schedule_without_warm_up_begins_at_the_peak() -> None:
    assert optim.learning_rate(0, steps=5, warmup_steps=0, peak=0.3, floor=0.0) == 0.3


def test_schedule_that_is_all_warm_up_only_rises() -> None:
    rates = [optim.learning_rate(step, steps=5, warmup_steps=9, peak=1.0, floor=0.0) for step in range(5)]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_only_matrices_decay() -> None:
    model = GPT(SHAPE)
    decayed, spared = optim.parameter_groups(model, 0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert isinstance(decayed["params"], list)
    assert isinstance(spared["params"], list)
    assert all(names[id(p)].endswith("weight") and ".ln_" not in names[id(p)] for p in decayed["params"])
    assert all(names[id(p)].endswith("bias") or "ln_" in names[id(p)] for p in spared["params"])
    assert len(decayed["params"]) + len(spared["params"]) == len(names)


def _trained_once(loss_factor: float = 1.0, **settings: float) -> tuple[GPT, torch.optim.AdamW, torch.Tensor, torch.Tensor]:
    model = GPT(SHAPE)
    optimizer = optim.adamw(model, weight_decay=0.1)
    loss = loss_factor * next_token_loss(model, torch.arange(18).reshape(2, 9))
    loss.backward()
    halted = torch.zeros(())
    norm = optim.update(optimizer, loss.detach(), rate=1e-2, clip_norm=settings.get("clip_norm", 1.0), halted=halted)
    return model, optimizer, norm, halted


def test_gradients_are_clipped_to_the_norm() -> None:
    _, gentle, norm, _ = _trained_once(clip_norm=1e-3)
    first_moment = torch.cat([state["exp_avg"].flatten() for state in gentle.state.values()])
    # The first moment after one step is (1 - 0.9) times the gradient as it was used.
    assert norm.item() > 0.1
    assert first_moment.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_not_made_nor_any_after_it(bad: float) -> None:
    model, optimizer, _, halted = _trained_once()
    assert halted.item() == 0
    before = [parameter.detach().clone() for parameter in model.parameters()]
    moments = [value.clone() for state in optimizer.state.values() for value in state.values()]
    for factor in (bad, 1.0):
        loss = factor * next_token_loss(model, torch.arange(18).reshape(2, 9))
        loss.backward()
        optim.update(optimizer, loss.detach(), rate=1e-2, clip_norm=1.0, halted=halted)
        assert halted.item() == 1
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
        now = [value for state in optimizer.state.values() for value in state.values()]
        assert all(torch.equal(a, b) for a, b in zip(moments, now, strict=True))


def test_an_update_changes_weights_and_leaves_padding_at_zero() -> None:
    model, _, _, _ = _trained_once()
    assert not torch.equal(model.wte.weight, GPT(SHAPE).wte.weight)
    assert not model.wte.weight[SHAPE.vocabulary :].any()
