"""What documents cost a model, against one forward pass for each document."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tokenmill.model.gpt import GPT
from tokenmill.model.held_out import document_nats
from tokenmill.model.shape import shape_of
from tokenmill.pipeline.config import TrainConfig

END = 49


@pytest.fixture(params=["gpt2", "modern"])
def model(request: pytest.FixtureRequest) -> GPT:
    config = TrainConfig(model=request.param, layers=1, heads=2, width=16, context_tokens=8, dropout=0.5)
    made = GPT(shape_of(config, 50), dropout=0.5, seed=3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return made


@torch.no_grad()
def plain(model: GPT, ids: list[int]) -> float:
    """Window by window, token by token."""
    whole, total = [END, *ids, END], 0.0
    model.eval()
    for at in range(0, len(whole) - 1, 8):
        part = whole[at : at + 9]
        logits = model(torch.tensor([part[:-1]]))[0].float()
        total -= sum(float(torch.log_softmax(row, dim=-1)[token]) for row, token in zip(logits, part[1:], strict=True))
    return total


def test_every_document_costs_what_it_costs_alone(model: GPT) -> None:
    generator = np.random.default_rng(2)
    documents = [generator.integers(0, 49, size) for size in (0, 1, 6, 7, 8, 15, 16, 40)]
    model.train()
    advanced: list[int] = []
    found = document_nats(
        model, documents, end_of_text=END, batch_windows=3, device=torch.device("cpu"), advance=advanced.append
    )
    assert model.training, "it returns to its mode"
    assert sum(advanced) == sum(len(ids) + 1 for ids in documents)
    assert found.tolist() == pytest.approx([plain(model, ids.tolist()) for ids in documents], rel=1e-5)
    again = document_nats(model, documents[::-1], end_of_text=END, batch_windows=5, device=torch.device("cpu"), chunk_tokens=7)
    assert again[::-1].tolist() == pytest.approx(found.tolist(), rel=1e-5)
