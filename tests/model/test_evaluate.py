"""Validation: the same windows each time, and the mean over their tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.model.conftest import counting
from tokenmill.model import data
from tokenmill.model.evaluate import evaluate, spread
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.shape import Shape
from tokenmill.pipeline.config import Attention
from tokenmill.pipeline.tokens import TokenStore


@pytest.mark.parametrize(("windows", "wanted", "places"), [(10, 4, [0, 2, 5, 7]), (3, 9, [0, 1, 2]), (5, 1, [0]), (0, 4, [])])
def test_windows_lie_evenly_over_the_split(windows: int, wanted: int, places: list[int]) -> None:
    assert spread(windows, wanted).tolist() == places


@pytest.mark.parametrize("attention", ["document", "window"])
def test_the_loss_is_the_mean_over_tokens_whatever_the_batches(make_store: Callable[..., Path], attention: Attention) -> None:
    split = TokenStore.open(make_store(val=counting(4, 17)) / "tokens").split("val")
    model = GPT(Shape(layers=1, heads=2, width=8, context_tokens=10, vocabulary=50), dropout=0.5)
    # 72 tokens are 7 windows of 10, and one that is filled up.
    places = np.arange(8)
    settings: dict[str, Any] = {"step": 3, "attention": attention, "device": torch.device("cpu")}
    one, many = (evaluate(model, split, places, batch_windows=size, **settings) for size in (8, 2))
    assert model.training
    windows = data.windows_at(split, places, 10, attention)
    assert (windows.starts is None) == (attention == "window")
    expected = next_token_loss(model.eval(), windows).nats.item() / 72
    assert one.tokens == many.tokens == 72 == windows.targets
    assert one.loss == pytest.approx(expected, rel=1e-6)
    assert many.loss == pytest.approx(expected, rel=1e-6)
    assert one.bits_per_byte == pytest.approx(expected / np.log(2) * 72 / 136, rel=1e-6)
    part = evaluate(model, split, places[:6], batch_windows=2, **settings)
    assert part.tokens == 60
    assert part.bits_per_byte == pytest.approx(part.loss / np.log(2) * 72 / 136, rel=1e-6)
    assert one.sources == {"val": one.loss}
