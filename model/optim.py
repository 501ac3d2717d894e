"""The optimizers, their learning rates, and the update.

Purpose: AdamW (Loshchilov and Hutter 2019) with GPT-3's betas (Brown et al. 2020, appendix B), and Muon for the matrices of the
blocks. Weight decay is on matrices only: pulling biases, gains, and vectors of positions towards 0 is useless.
Guarantee: the learning rate is a pure function of the step, so the schedule has no state to save. An update is skipped if its
loss or gradient norm is not finite, and the host does not wait for the device to find that out.
Cost: two numbers of state per parameter of AdamW, one per parameter of Muon; one fused kernel per group and step.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from tokenmill.model.muon import Muon
from tokenmill.pipeline.config import TrainConfig

BETAS = (0.9, 0.95)
"""AdamW's decay rates of the first and the second moment."""
BLOCKS = re.compile(r"(^|\.)(blocks|decoder)\.")
"""In names of parameters: those inside of blocks."""
LOOKED_UP = re.compile(r"(^|\.)(position|segment)\.")
"""Vectors of places."""
FIRST_SCALE = 65_536.0
"""By which the loss is multiplied in float16, at first (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2)."""
GROWTH_UPDATES = 2_000
"""Updates without an overflow after which it doubles."""


def learning_rate(step: int, config: TrainConfig) -> float:
    """The learning rate of update number `step` (from 0), as a part of its peak.

    It rises linearly; update `warmup_steps` has the peak. Then it falls to min_learning_rate / learning_rate, which update
    `steps`, one after the last, would have: by half a cosine (Radford et al. 2018, section 4.1), linearly, or linearly in the
    last `decay_fraction` of the steps only (Hu et al. 2024, "MiniCPM", section 4).
    """
    if step < config.warmup_steps:
        return (step + 1) / (config.warmup_steps + 1)
    first = config.warmup_steps
    if config.schedule == "wsd":
        first = max(first, config.steps - round(config.decay_fraction * config.steps))
    done = min(1.0, max(0.0, (step - first) / max(1, config.steps - first)))
    left = 0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1 - done
    floor = config.min_learning_rate / config.learning_rate
    return floor + (1 - floor) * left


@dataclass(frozen=True, kw_only=True)
class Optimizers:
    """All optimizers of a model. Each parameter is in one of them."""

    adamw: torch.optim.AdamW
    muon: Muon | None
    peaks: dict[str, float]
    """The peak learning rate of each."""

    @property
    def each(self) -> dict[str, torch.optim.Optimizer]:
        """By name."""
        return {"adamw": self.adamw} | ({} if self.muon is None else {"muon": self.muon})


def optimizers(model: nn.Module, config: TrainConfig) -> Optimizers:
    """The optimizers that the settings ask for, with empty state. `update` sets their learning rates at each step."""
    inner = {
        name for name, p in model.named_parameters() if config.optimizer == "muon" and BLOCKS.search(name) and p.dim() == 2
    }
    named = [(name, p) for name, p in model.named_parameters() if name not in inner]
    decayed = [p for name, p in named if p.dim() >= 2 and not LOOKED_UP.search(name)]
    rest = [p for name, p in named if p.dim() < 2 or LOOKED_UP.search(name)]
    # The fused kernel takes tensors that are divided among the same processes.
    groups: dict[tuple[float, DeviceMesh | None], list[nn.Parameter]] = {}
    for decay, some in ((config.weight_decay, decayed), (0.0, rest)):
        for p in some:
            groups.setdefault((decay, p.device_mesh if isinstance(p, DTensor) else None), []).append(p)
    given = [{"params": some, "weight_decay": decay} for (decay, _), some in groups.items()]
    adamw = torch.optim.AdamW(given, lr=0.0, betas=BETAS, eps=1e-8, fused=True)
    muon = (
        Muon((p for name, p in model.named_parameters() if name in inner), weight_decay=config.weight_decay) if inner else None
    )
    return Optimizers(adamw=adamw, muon=muon, peaks={"adamw": config.learning_rate, "muon": config.muon_learning_rate})


def prepare(optimizers: Optimizers) -> None:
    """Give each parameter the state that its first update would begin with, so that a saved one can be copied into it."""
    for kind, optimizer in optimizers.each.items():
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            state = optimizer.state[parameter]
            if kind == "muon":
                state["momentum"] = torch.zeros_like(parameter)
                continue
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)


@dataclass(kw_only=True)
class Scale:
    """What the loss is multiplied by, so that small gradients survive float16. It stays on the device.

    An update whose gradients overflow is skipped, and halves it.
    """

    value: Tensor
    """float32 scalar."""
    good: Tensor
    """float32 scalar: updates since the last overflow or growth."""

    @classmethod
    def first(cls, device: torch.device) -> Scale:
        """The scale of the first update."""
        return cls(value=torch.tensor(FIRST_SCALE, device=device), good=torch.zeros((), device=device))

    def follow(self, overflow: Tensor) -> None:
        """Halve after an `overflow` (a bool scalar), double after `GROWTH_UPDATES` updates without one."""
        good = torch.where(overflow, 0.0, self.good + 1)
        grown = good >= GROWTH_UPDATES
        self.value.mul_(torch.where(overflow, 0.5, torch.where(grown, 2.0, 1.0)))
        self.good.copy_(torch.where(grown, 0.0, good))


def update(
    optimizers: Optimizers,
    loss: Tensor,
    *,
    rate: float,
    clip_norm: float,
    halted: Tensor,
    scale: Scale | None = None,
    clip: Callable[[list[nn.Parameter], float], Tensor] = nn.utils.clip_grad_norm_,
) -> Tensor:
    """Clip the gradients, make one update, and clear the gradients. All of it happens on the device, without waiting for it.

    Parameters
    ----------
    loss
        float scalar on the device, not scaled.
    rate
        The learning rate of this update, as a part of its peak.
    clip_norm
        The largest norm of all gradients together; larger gradients are scaled down to it.
    halted
        float scalar on the device, initially 0. It becomes 1 if the loss or the norm is not finite; while it is 1, weights and
        moments stay bit-identical. With a `scale`, gradients that overflow skip this update only.
    scale
        What the gradients were multiplied by.
    clip
        Scales the gradients down to a norm, and returns the norm before: torch's, or that of several processes.

    Returns
    -------
    Tensor
        float scalar on the device: the norm of the gradients before clipping.
    """
    parameters = [p for one in optimizers.each.values() for group in one.param_groups for p in group["params"]]
    if scale is not None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.div_(scale.value)
    norm = clip(parameters, clip_norm)
    overflow = ~torch.isfinite(norm)
    halted.logical_or_(~torch.isfinite(loss) | (overflow if scale is None else torch.zeros_like(overflow)))
    skipped = halted.bool() | overflow
    if scale is not None:
        scale.follow(overflow)
    for name, one in optimizers.each.items():
        for group in one.param_groups:
            group["lr"] = rate * optimizers.peaks[name]
        # The attribute through which torch's own gradient scaler tells the fused kernel to skip a step.
        one.found_inf = skipped.float()  # type: ignore[attr-defined]
        one.step()
        one.zero_grad(set_to_none=True)
    return norm
