"""Validation: the same windows each time, and the mean over their tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from model import data
from model.evaluate import evaluate, spread
from model.gpt import GPT, Shape, next_token_loss
from pipeline.tokens import TokenStore


@pytest.mark.parametrize(("windows", "wanted", "places"), [(10, 4, [0, 2, 5, 7]), (3, 9, [0, 1, 2]), (5, 1, [0]), (0, 4, [])])
def test_windows_lie_evenly_over_the_split(windows: int, wanted: int, places: list[int]) -> None:
    assert spread(windows, wanted).tolist() == places


def test_the_loss_is_the_mean_over_tokens_whatever_the_batches(make_store: Callable[..., Path]) -> None:
    split = TokenStore.open(make_store() / "tokens").split("val")
    model = GPT(Shape(layers=1, heads=2, width=8, context_tokens=10, vocabulary=50), dropout=0.5)
    places = np.arange(7)
    one, many = (evaluate(model, split, places, step=3, batch_windows=size, device=torch.device("cpu")) for size in (7, 2))
    assert model.training
    expected = next_token_loss(model.eval(), data.windows_at(split, places, 10).ids).item()
    assert one.tokens == many.tokens == 70
    assert one.loss == pytest.approx(expected, rel=1e-6)
    assert many.loss == pytest.approx(expected, rel=1e-6)
    assert one.bits_per_byte == pytest.approx(expected / np.log(2) * 80 / 152, rel=1e-6)
    part = evaluate(model, split, places[:6], step=3, batch_windows=2, device=torch.device("cpu"))
    assert part.bits_per_byte is None
