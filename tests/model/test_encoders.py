"""Encoder, encoder-decoder and classifier: their sizes, their operations, their memory, and where they begin."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tokenmill.model import memory, optim
from tokenmill.model.encoders import model_of, stack_of
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import TrainConfig

SIZES: dict[str, Any] = {"layers": 2, "heads": 4, "width": 64, "context_tokens": 48, "vocabulary": 384}
KINDS: dict[str, dict[str, Any]] = {
    "decoder": {},
    "classifier": {"classes": 3},
    "encoder": {"architecture": "encoder", "target_tokens": 7},
    "encoder-decoder": {"architecture": "encoder-decoder", "source_tokens": 43, "target_tokens": 12},
}
SHAPES = [
    Shape(**{**SIZES, **parts, **kind, **more})
    for parts in PRESETS.values()
    for kind in KINDS.values()
    for more in ({}, {"kv_heads": 2, "biases": True, "tied": True})
]


@pytest.mark.parametrize("shape", SHAPES, ids=range(len(SHAPES)))
def test_parameters_and_operations_are_those_that_a_step_has(shape: Shape) -> None:
    model = model_of(shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == shape.parameters
    batch, loss = memory._example(shape, 4, 48, apart=False)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        loss(model, batch).nats.backward()
    # Torch counts matrix products alone, without norms and biases, and those of attention where it is made of them.
    assert shape.flops_per_token * 4 * 48 == pytest.approx(counted.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_of_a_block_is_muons_and_every_parameter_is_learnt(kind: str) -> None:
    shape = Shape(**{**SIZES, **PRESETS["modern"], **KINDS[kind], "initialisation": "gpt2"})
    model = model_of(shape)
    made = optim.optimizers(model, TrainConfig(optimizer="muon"))
    inner = {id(p) for block in model.blocks for p in block.parameters() if p.dim() == 2}
    assert made.muon is not None
    assert {id(p) for group in made.muon.param_groups for p in group["params"]} == inner
    batch, loss = memory._example(shape, 2, 48, apart=True)
    loss(model, batch).nats.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_weights_depend_on_the_seed_alone(kind: str) -> None:
    shape = Shape(**{**SIZES, **KINDS[kind]})
    one, again, other = (model_of(shape, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    matrices = [name for name, value in one.items() if value.dim() == 2]
    assert not any(torch.equal(one[name], other[name]) for name in matrices)
    assert stack_of(model_of(shape)).shape == shape
    assert len({one[name].flatten()[:8].sum().item() for name in matrices}) == len(matrices)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_computed_again_give_the_same_gradients_for_less_memory(kind: str) -> None:
    shape = Shape(**{**SIZES, "layers": 4, **KINDS[kind]})
    gradients = []
    for recompute in (False, True):
        model = model_of(shape, seed=1, recompute=recompute).train()
        batch, loss = memory._example(shape, 2, 48, apart=True)
        loss(model, batch).nats.backward()
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*gradients)
    config = TrainConfig(context_tokens=48, batch_windows=16)
    kept, again = (
        memory.estimate(shape, config.model_copy(update={"recompute": recompute}), precision=torch.float32).activations
        for recompute in (False, True)
    )
    assert again < 0.6 * kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": -1}, "below 0"),
        ({"target_tokens": 49}, "more tokens than the sample"),
        ({"architecture": "encoder", "sliding_window": 4}, "only a decoder has a sliding window"),
    ],
)
def test_shapes_that_cannot_be_built_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(Shape(**SIZES), **changes)
