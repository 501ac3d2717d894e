"""How a model is divided: its layers among the stages of a pipeline, its matrices by rows or columns, its parameters by rows.

Purpose: `cut` (pipeline), `tensor_parallel` (Shoeybi et al. 2019, "Megatron-LM", section 3) and `shard` (Zhao et al. 2023,
"PyTorch FSDP", by torch's `fully_shard`), in this order.
Guarantee: parameters keep their names and, as DTensors, their shapes.
Cost: of tensor parallelism, two all-reduces of a layer's activations, forward and backward; of shards, all weights travel twice
and their gradients once for each batch.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, PrepareModuleInput, RowwiseParallel, parallelize_module

from tokenmill.model.gpt import GPT
from tokenmill.model.parts import Block


def cut(model: GPT, *, stage: int, stages: int) -> None:
    """Remove from `model` what other stages of a pipeline compute. A tied embedding stays in the first and the last one."""
    layers = len(model.blocks)
    mine = range(layers * stage // stages, layers * (stage + 1) // stages)
    first, last = stage == 0, stage == stages - 1
    elsewhere = {f"blocks.{number}" for number in range(layers) if number not in mine}
    elsewhere |= set() if first else {"position"}
    elsewhere |= set() if first or (last and model.shape.tied) else {"embedding"}
    elsewhere |= set() if last else {"norm", "head"}
    for name in elsewhere:
        # What stays keeps its name.
        model.set_submodule(name, nn.Identity())


def tensor_parallel(model: GPT, mesh: DeviceMesh) -> None:
    """Divide all matrices: heads, the inside of the MLPs, and the ids of embedding, head and loss."""
    entry = PrepareModuleInput(
        input_layouts=(Replicate(), None, None, None), desired_input_layouts=(Replicate(), None, None, None)
    )
    plan: dict[str, Any] = {"attention": entry, "attention.out": RowwiseParallel(), "mlp.down": RowwiseParallel()}
    plan["mlp"] = PrepareModuleInput(input_layouts=(Replicate(),), desired_input_layouts=(Replicate(),))
    plan |= {f"attention.{name}": ColwiseParallel() for name in ("query", "key", "value")}
    for block in model.blocks:
        if isinstance(block, Block):
            inner = {f"mlp.{name}": ColwiseParallel() for name in ("up", "gate") if hasattr(block.mlp, name)}
            parallelize_module(block, mesh, plan | inner)
    whole: dict[str, Any] = {"embedding": RowwiseParallel(input_layouts=Replicate()), "head": ColwiseParallel()}
    for name, style in whole.items():
        module = getattr(model, name, None)
        if isinstance(module, nn.Embedding | nn.Linear):
            parallelize_module(module, mesh, style)
    # In its place as a buffer.
    model.offset = distribute_tensor(model.offset, mesh, [Shard(0)], src_data_rank=None)


def shard(model: GPT, whole: nn.Module, mesh: DeviceMesh) -> None:
    """Divide each parameter among the processes of `mesh`: those of a layer come together when it computes.

    `mesh`: one dimension, or two, of which the first has copies. `whole`: a module around `model`, through which it is called.
    """
    for block in model.blocks:
        if isinstance(block, Block):
            fully_shard(block, mesh=mesh)
    fully_shard(whole, mesh=mesh)
    for module in whole.modules():
        if isinstance(module, FSDPModule):
            # Gradients are sums: the loss was divided by all targets.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
