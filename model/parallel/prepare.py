"""Divides a new model among the processes of a run, and gives its parts the numbers of a whole one.

Guarantee: only the first process needs the whole model; the others never have more than one whole tensor.
Cost: each tensor is sent to all processes once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tokenmill.model import checkpoint, optim
from tokenmill.model.gpt import GPT
from tokenmill.model.optim import Optimizers, Scale
from tokenmill.model.parallel import exchange, plans
from tokenmill.model.parallel.divided import Divided
from tokenmill.model.parallel.exchange import Tensors
from tokenmill.model.parallel.layout import ProcessLayout
from tokenmill.model.parallel.pipeline import Pipeline
from tokenmill.model.shape import Shape
from tokenmill.pipeline.config import TrainConfig


def prepare(
    layout: ProcessLayout,
    shape: Shape,
    config: TrainConfig,
    whole: Tensors | None,
    *,
    device: torch.device,
    precision: torch.dtype,
    scale: Scale | None,
) -> tuple[Divided, Optimizers]:
    """The part of a model that this process has, with its optimizers. A collective.

    `whole`: what `checkpoint.tensors_of` and `buffers_of` give of the model in one process; None but in the first one.
    """
    mesh = layout.mesh(device)
    with torch.device("meta"):
        model = GPT(shape, recompute=config.recompute)
    made = Divided(model=model, layout=layout, mesh=mesh)
    if layout.pipeline > 1:
        plans.cut(model, stage=layout.stage, stages=layout.pipeline)
        made.pipeline = Pipeline(
            model=model,
            stage=layout.stage,
            stages=layout.pipeline,
            group=mesh.get_group("pipeline"),
            device=device,
            dtype=torch.bfloat16 if precision == torch.bfloat16 else torch.float32,
        )
        if shape.tied:
            made.ends = _ends(layout)
    if layout.tensor > 1:
        plans.tensor_parallel(model, mesh["tensor"])
    if config.compile:
        for block in model.blocks:
            block.compile()
    if layout.shard > 1:
        entry = made.through if made.pipeline is None else made.pipeline.module
        plans.shard(model, entry, mesh["replicate", "shard"] if layout.replicate > 1 else mesh["shard"])
    model.to_empty(device=device)
    optimizers = optim.optimizers(model, config)
    optim.prepare(optimizers)
    parts = checkpoint.tensors_of(model, optimizers, scale) | {"buffers": buffers_of(model)}
    made.known = exchange.spread(layout, parts, whole, device=device)
    if layout.parts == 1:
        made.through = DistributedDataParallel(made.through, gradient_as_bucket_view=True)
        made.through.register_comm_hook(None, lambda _, bucket: _sum(bucket.buffer()))
    return made, optimizers


def buffers_of(model: nn.Module) -> dict[str, Tensor]:
    """What a model has of numbers that are not in its checkpoints."""
    kept = model.state_dict()
    return {name: value for name, value in model.named_buffers() if name not in kept}


def _sum(gradients: Tensor) -> Any:
    """In place of DDP's mean: the loss was divided by the targets of all processes. Returns a future."""
    work = dist.all_reduce(gradients, async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def _ends(layout: ProcessLayout) -> dist.ProcessGroup | None:
    """The group of this process with the other end of its pipeline, if it is at an end. A collective."""
    apart = layout.data_ranks * layout.tensor
    last = (layout.pipeline - 1) * apart
    ends = [[number, last + number] for number in range(apart)]
    group: dist.ProcessGroup | None = dist.new_subgroups_by_enumeration(ends)[0]  # type: ignore[no-untyped-call]
    return group
