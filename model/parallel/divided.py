"""A model as it lies in several processes, or in one.

Purpose: what the loop does with a model, whatever the layout: a batch forward and backward, the sum of all gradients, their
norm, a checkpoint.
Guarantee: gradients are those of the sum over all samples of an update, as in one process, up to rounding. What is gathered is
what one process would have: a checkpoint does not know the layout.
Cost: with copies of the whole model (torch's DDP) and with shards, gradients are summed while the backward pass goes on; with
copies of parts, after the last batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn.parallel import DistributedDataParallel

from tokenmill.model.data import Windows
from tokenmill.model.encoders import Model, stack_of
from tokenmill.model.muon import local
from tokenmill.model.parallel import exchange
from tokenmill.model.parallel.exchange import Gathered, Tensors
from tokenmill.model.parallel.layout import ALONE, ProcessLayout
from tokenmill.model.parallel.pipeline import Pipeline


class Through(nn.Module):
    """A model with what is computed with it, as one module: DDP and FSDP act where a module is called."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[..., Any], *given: Any, **settings: Any) -> Any:
        """`compute(model, *given, **settings)`"""
        return compute(self.model, *given, **settings)


@dataclass(kw_only=True)
class Divided:
    """The part of a model that this process has, and the way to the others."""

    model: Model
    layout: ProcessLayout = ALONE
    through: nn.Module = field(init=False)
    pipeline: Pipeline | None = None
    mesh: DeviceMesh | None = None
    ends: dist.ProcessGroup | None = None
    """The first and the last stage, where both have the embedding."""
    known: Mapping[tuple[str, str], Gathered] = field(default_factory=dict)
    """What is gathered, by kind and name."""

    def __post_init__(self) -> None:
        self.through = Through(self.model)

    @property
    def entry(self) -> nn.Module:
        """What a batch is given to."""
        return self.through if self.pipeline is None else self.pipeline.module

    @property
    def has_loss(self) -> bool:
        """Whether this process has the loss of what it reads: in a pipeline, the last stage."""
        return self.pipeline is None or self.pipeline.last

    def call(self, compute: Callable[..., Any], *given: Any, **settings: Any) -> Any:
        """`compute(model, ...)`, with what of the model is elsewhere."""
        return self.through(compute, *given, **settings)

    @contextlib.contextmanager
    def batch(self, *, last: bool) -> Iterator[None]:
        """Around a batch, forward and backward. The `last` one of an update sums the gradients of all processes."""
        with contextlib.ExitStack() as held:
            if self.layout.tensor > 1:
                held.enter_context(loss_parallel())
            if isinstance(self.through, DistributedDataParallel) and not last:
                held.enter_context(self.through.no_sync())
            yield

    def evaluated(self, compute: Callable[..., Any], windows: Windows, *, chunk_tokens: int | None) -> Any:
        """`compute(model, windows, chunk_tokens=...)` without gradients.

        A pipeline computes `loss.token_losses`, and 0 in all stages before the last one.
        """
        with self.batch(last=False):
            if self.pipeline is not None:
                found: Any = self.pipeline.token_losses(windows, chunk_tokens=chunk_tokens)
            else:
                found = self.call(compute, windows, chunk_tokens=chunk_tokens)
        if isinstance(self.entry, FSDPModule):
            # Without a backward pass, what came together would stay so.
            self.entry.reshard()
        return found

    def finish(self, total: Tensor) -> None:
        """After the last batch of an update: sum what torch has not summed yet, of gradients and of the loss `total`."""
        if not self.layout.grouped:
            return
        gradients = []
        for parameter in self.model.parameters():
            if isinstance(parameter, DTensor) and isinstance(parameter.grad, DTensor):
                # That of an embedding comes whole.
                parameter.grad = parameter.grad.redistribute(placements=parameter.placements)
            if parameter.grad is not None:
                gradients.append(local(parameter.grad))
        if self.layout.replicate > 1 and not isinstance(self.entry, DistributedDataParallel | FSDPModule):
            assert self.mesh is not None
            group = self.mesh.get_group("replicate")
            for work in [dist.all_reduce(one, group=group, async_op=True) for one in gradients]:
                work.wait()
        tied = stack_of(self.model).embedding.weight.grad if self.ends is not None else None
        if tied is not None:
            dist.all_reduce(local(tied), group=self.ends)
        self.layout.add_up(total)

    def clip(self, parameters: Sequence[nn.Parameter], clip_norm: float) -> Tensor:
        """Scale gradients of all processes down to a norm of `clip_norm` together. Returns the norm before, float scalar."""
        if self.layout.parts == 1:
            return nn.utils.clip_grad_norm_(parameters, clip_norm)
        with_gradient = [one for one in parameters if one.grad is not None]
        gradients = [local(one.grad) for one in with_gradient if one.grad is not None]
        # Of the processes, so many have the same part.
        copies = torch.tensor([self._copies(one) for one in with_gradient], device=gradients[0].device)
        squares = (torch.stack(torch._foreach_norm(gradients)).square() / copies).sum()
        dist.all_reduce(squares)
        norm = squares.sqrt()
        torch._foreach_mul_(gradients, (clip_norm / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def gathered(self, tensors: Tensors) -> Tensors | None:
        """The whole tensors of which these are the parts, on the CPU, in the first process; None in others."""
        return tensors if not self.layout.grouped else exchange.gathered(self.layout, self.known, tensors)

    def _copies(self, parameter: nn.Parameter) -> float:
        layout = self.layout
        apart = 1
        if isinstance(parameter, DTensor):
            for size, placement in zip(parameter.device_mesh.shape, parameter.placements, strict=True):
                apart *= 1 if placement.is_replicate() else size
        both = self.ends is not None and parameter is stack_of(self.model).embedding.weight
        return layout.data_ranks * layout.tensor / apart * (2 if both else 1)
