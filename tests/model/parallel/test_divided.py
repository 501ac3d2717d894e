"""The ways that several processes go, in one process that is a group by itself: none of them changes a number."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import distributed as dist
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor.parallel import loss_parallel

from tests.model.runs import Make, Tiny, log_of, windows_of
from tokenmill.model import checkpoint, optim
from tokenmill.model.gpt import GPT
from tokenmill.model.gradients import backward
from tokenmill.model.loss import next_token_loss
from tokenmill.model.muon import Muon
from tokenmill.model.parallel import plans
from tokenmill.model.parallel.divided import Divided
from tokenmill.model.parallel.layout import ProcessLayout, joined, together
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.model.state import State, of_plain, to_plain
from tokenmill.model.train import train
from tokenmill.pipeline.base.errors import WorkerDied
from tokenmill.pipeline.base.progress import Silent

SIZES: dict[str, Any] = {"layers": 2, "heads": 2, "width": 16, "context_tokens": 8, "vocabulary": 50}
ROWS = [[1, 2, 3, 49, 5, 6, 7, 8, 9], [3, 1, 4, 1, 5, 9, 2, 6, 5]]
STARTS = [[0, 0, 0, 0, 4, 4, 4, 4], [0] * 8]


@pytest.fixture
def group() -> Iterator[None]:
    """This process as the only one of a group. It listens to nobody."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def gradients_of(made: Divided, tiny: Tiny) -> tuple[float, dict[str, torch.Tensor]]:
    config = tiny(dropout=0.0, z_loss=1e-3, loss_chunk_tokens=5)
    loss = backward(made, [windows_of(ROWS, STARTS)], config, loss_of=next_token_loss, precision=torch.float32, scale=None)
    found = {
        name: one.grad.full_tensor() if isinstance(one.grad, DTensor) else one.grad
        for name, one in made.model.named_parameters()
        if one.grad is not None
    }
    return loss.item(), found


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("way", ["tensor", "shard", "both"])
@pytest.mark.usefixtures("group")
def test_a_divided_model_has_the_same_gradients(preset: str, way: str, tiny: Tiny) -> None:
    shape = Shape(**SIZES, **PRESETS[preset])  # type: ignore[index]
    whole, model = (GPT(shape, seed=3) for _ in range(2))
    made, mesh = Divided(model=model), ProcessLayout().mesh(torch.device("cpu"))
    if way != "shard":
        plans.tensor_parallel(model, mesh["tensor"])
    if way != "tensor":
        plans.shard(model, made.through, mesh["shard"])
    assert isinstance(model.blocks[0].attention.query.weight, DTensor)
    with contextlib.nullcontext() if way == "shard" else loss_parallel():
        loss, found = gradients_of(made, tiny)
    wanted_loss, wanted = gradients_of(Divided(model=whole), tiny)
    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    assert found.keys() == wanted.keys() == dict(whole.named_parameters()).keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("group")
def test_a_group_of_one_ends_with_the_same_bytes(make_store: Make, tiny: Tiny) -> None:
    one, alone = make_store(folder="one"), make_store(folder="alone")
    config = tiny(model="modern", optimizer="muon", dropout=0.0, accumulate=2, steps=4)
    with joined(config) as layout:
        assert layout == ProcessLayout(grouped=True)
        train(one, config, Silent(), layout=layout)
    assert dist.is_initialized(), "a group of somebody else is kept"
    ours = (one / "model/checkpoints/step-00000004.weights.safetensors").read_bytes()
    dist.destroy_process_group()
    train(alone, config, Silent())
    assert ours == (alone / "model/checkpoints/step-00000004.weights.safetensors").read_bytes()
    assert [line.keys() for line in log_of(one)] == [line.keys() for line in log_of(alone)]
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)


@pytest.mark.usefixtures("group")
def test_muon_moves_divided_matrices_as_whole_ones() -> None:
    mesh = ProcessLayout().mesh(torch.device("cpu"))["shard"]
    generator = torch.Generator().manual_seed(5)
    weights, gradients = (torch.randn((2, 6, 4), generator=generator) for _ in range(2))
    plain = [torch.nn.Parameter(one.clone()) for one in weights]
    divided = [torch.nn.Parameter(distribute_tensor(one.clone(), mesh, [Shard(0)])) for one in weights]
    for parameters in (plain, divided):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = distribute_tensor(gradient, mesh, [Shard(0)]) if parameters is divided else gradient
        muon = Muon(parameters, weight_decay=0.1)
        muon.param_groups[0]["lr"] = 0.02
        muon.step()
    for ours, theirs, before in zip(divided, plain, weights, strict=True):
        assert isinstance(ours, DTensor)
        torch.testing.assert_close(ours.full_tensor(), theirs.detach(), rtol=0, atol=0)
        assert not torch.equal(theirs, before)


def test_the_stages_of_a_pipeline_have_every_parameter_once() -> None:
    shape = Shape(**SIZES | {"layers": 5}, **PRESETS["modern"])
    parts = [GPT(shape) for _ in range(3)]
    for stage, model in enumerate(parts):
        plans.cut(model, stage=stage, stages=3)
    names = [name for model in parts for name, _ in model.named_parameters()]
    assert sorted(names) == sorted(name for name, _ in GPT(shape).named_parameters())
    layers = [{name.split(".")[1] for name, _ in model.named_parameters() if name.startswith("blocks.")} for model in parts]
    assert layers == [{"0"}, {"1", "2"}, {"3", "4"}]


def test_only_the_loss_of_another_process_is_worker_died() -> None:
    with pytest.raises(RuntimeError, match="^gloo: closed$"), together(ProcessLayout()):
        raise RuntimeError("gloo: closed")
    layout = ProcessLayout(replicate=2, rank=1, grouped=True)
    with pytest.raises(WorkerDied, match="process 1 of 2 has lost another one"), together(layout):
        raise RuntimeError("gloo: closed")
    with pytest.raises(RuntimeError, match="shapes"), together(layout):
        raise RuntimeError("shapes")


def test_a_checkpoint_is_written_by_the_first_process_only(tmp_path: Any, tiny: Tiny) -> None:
    model = GPT(Shape(**SIZES))
    state = State(step=1, samples=4, store="", tokenizer="", seed=0, order="", end_of_text=49, shape=model.shape, config={})
    made = checkpoint.publish(tmp_path, state, model, optim.optimizers(model, tiny()), gathered=lambda tensors: None)
    assert (made.state, made.files, list(tmp_path.iterdir())) == (state, {}, [])
    assert of_plain(to_plain(state)) == state
