"""A batch that is learnt by heart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.threads import one_thread  # noqa: F401 -- a fixture
from tokenmill.model.encoders import Model
from tokenmill.model.loss import Loss

Learn = Callable[[Model, Any, Callable[..., Loss]], float]


@pytest.fixture
def by_heart() -> Learn:
    """`by_heart(model, batch, loss)` -> the mean loss after the updates that one batch needs."""

    def learn(model: Model, batch: Any, loss: Callable[..., Loss]) -> float:
        adam = torch.optim.Adam(model.parameters(), lr=1e-2)
        mean = float("inf")
        for _ in range(150):
            adam.zero_grad()
            made = loss(model, batch).nats / batch.targets
            made.backward()  # type: ignore[no-untyped-call]
            adam.step()
            mean = made.item()
            if mean < 0.04:
                break
        return mean

    return learn
