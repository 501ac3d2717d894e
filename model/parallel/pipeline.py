"""A pipeline: its stages hold some of the layers each, and batches go through them one after the other.

Purpose: torch's schedule 1F1B (Narayanan et al. 2019, "PipeDream"; 2021, "Efficient Large-Scale Language Model Training on GPU
Clusters", section 2.2) over the batches of an update.
Guarantee: the gradients are those of the model in one process.
Cost: with b batches and p stages, (p - 1) / (b + p - 1) of the time is idle. Attention within documents takes a mask, also on a
GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.pipelining import PipelineStage, Schedule1F1B

from tokenmill.model.data import Windows
from tokenmill.model.gpt import GPT, through
from tokenmill.model.loss import losses_of_hidden, targets_loss, targets_of
from tokenmill.model.parts import Block


class OwnStage(nn.Module):
    """What one process of a pipeline computes."""

    def __init__(self, model: GPT, *, first: bool) -> None:
        super().__init__()
        self.model, self.first = model, first

    def forward(self, x: Tensor, starts: Tensor | None = None) -> Tensor:
        """Ids, int64 [B, T], in the first stage, else the residual stream, [B, T, W] -> the residual stream.

        `starts`: as in `GPT.hidden`.
        """
        scope, positions = self.model.scope(x.shape[1], starts, x.device)
        x = self.model.embedded(x, positions) if self.first else x
        blocks = [block for block in self.model.blocks if isinstance(block, Block)]
        x = through(blocks, x, scope, recompute=self.model.recompute and self.training)
        # An identity before the last stage.
        passed: Tensor = self.model.norm(x)
        return passed


@dataclass(kw_only=True)
class Pipeline:
    """The stage of this process, and the way to the others."""

    model: GPT
    stage: int
    stages: int
    group: dist.ProcessGroup
    """The processes with the other stages of the same samples."""
    device: torch.device
    dtype: torch.dtype
    """Of the residual stream."""
    module: OwnStage = field(init=False)

    def __post_init__(self) -> None:
        self.module = OwnStage(self.model, first=self.stage == 0)

    @property
    def last(self) -> bool:
        """Whether this stage has the loss."""
        return self.stage == self.stages - 1

    def gradients(self, windows: Sequence[Windows], *, factor: Tensor, z_loss: float, chunk_tokens: int | None) -> Tensor:
        """Add the gradients of the summed loss of `windows`, times `factor`. Returns the sum without the z-loss: float scalar.

        All batches have the same number of rows. Stages before the last one return 0.
        """
        nats: list[Tensor] = []

        def loss(hidden: Tensor, targets: Tensor) -> Tensor:
            found = targets_loss(self.model, hidden.flatten(0, 1), targets.flatten(), z_loss=z_loss, chunk_tokens=chunk_tokens)
            nats.append(found.nats.detach())
            return (found.nats + found.penalty) * factor

        ids = torch.cat([one.ids for one in windows])[:, :-1]
        starts = None
        if any(one.starts is not None for one in windows):
            starts = torch.cat([torch.zeros_like(one.ids[:, 1:]) if one.starts is None else one.starts for one in windows])
        named: dict[str, Any] = {} if starts is None else {"starts": starts}
        if self.last:
            named |= {"target": torch.cat([targets_of(one) for one in windows]), "losses": []}
        schedule = Schedule1F1B(self._stage(len(windows[0].ids)), len(windows), loss, scale_grads=False)
        schedule.step(*(() if self.stage else (ids,)), return_outputs=False, **named)
        return torch.stack(nats).sum() if nats else torch.zeros((), device=self.device)

    def token_losses(self, windows: Windows, *, chunk_tokens: int | None) -> Tensor:
        """The loss of each target, float32 [B, T]; 0 in stages before the last one."""
        rows, tokens = windows.ids[:, 1:].shape
        x = windows.ids[:, :-1]
        if self.stage:
            x = torch.empty((rows, tokens, self.model.shape.width), dtype=self.dtype, device=self.device)
            dist.recv(x, group=self.group, group_src=self.stage - 1)
        x = self.module(x, windows.starts)
        if self.last:
            return losses_of_hidden(self.model, x, windows, chunk_tokens=chunk_tokens)
        dist.send(x.contiguous(), group=self.group, group_dst=self.stage + 1)
        return torch.zeros((rows, tokens), device=self.device)

    def _stage(self, rows: int) -> PipelineStage:
        shape = self.model.shape
        stream = torch.empty((rows, shape.context_tokens, shape.width), dtype=self.dtype, device="meta")
        ids = torch.empty(stream.shape[:2], dtype=torch.int64, device="meta")
        entry = stream.requires_grad_() if self.stage else ids
        return PipelineStage(
            self.module,
            self.stage,
            self.stages,
            self.device,
            input_args=entry,
            output_args=stream.detach().requires_grad_(),
            group=self.group,
        )
