"""The optimizer and its learning rate schedule.

Purpose: AdamW (Loshchilov and Hutter 2019) with GPT-3's betas (Brown et al. 2020, appendix B); weight decay on matrices
only, because pulling biases and LayerNorm's gains towards 0 is useless.
Guarantee: the learning rate is a pure function of the step, so the schedule has no state to save. An update is skipped if its
loss or gradient norm is not finite, and the host does not wait for the device to find that out.
Cost: two numbers of state per parameter; one fused kernel per group and step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.95)
"""AdamW's decay rates of the first and the second moment."""


def learning_rate(step: int, *, steps: int, warmup_steps: int, peak: float, floor: float) -> float:
    """The learning rate of update number `step` (from 0): a linear rise to `peak`, then half a cosine towards `floor`.

    Update `warmup_steps` has the rate `peak`; update `steps`, one after the last, would have `floor` (Radford et al. 2018,
    section 4.1).
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    fraction = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * fraction))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups for torch's optimizers: matrices with weight decay, vectors (biases, LayerNorm) without."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def adamw(model: nn.Module, *, weight_decay: float) -> torch.optim.AdamW:
    """The fused AdamW optimizer of `model`'s parameters. `update` sets its learning rate at each step."""
    return torch.optim.AdamW(parameter_groups(model, weight_decay), lr=0.0, betas=BETAS, eps=1e-8, fused=True)


def update(optimizer: torch.optim.AdamW, loss: Tensor, *, rate: float, clip_norm: float, halted: Tensor) -> Tensor:
    """Clip the gradients, make one update, and clear the gradients. All of it happens on the device, without waiting for it.

    Parameters
    ----------
    loss
        float scalar on the device.
    rate
        The learning rate of this update.
    clip_norm
        The largest norm of all gradients together; larger gradients are scaled down to it.
    halted
        float scalar on the device, initially 0. It becomes 1 if the loss or the norm is not finite; while it is 1, weights and
        moments stay bit-identical.

    Returns
    -------
    Tensor
        float scalar on the device: the norm of the gradients before clipping.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    halted.logical_or_(~(torch.isfinite(loss) & torch.isfinite(norm)))
    for group in optimizer.param_groups:
        group["lr"] = rate
    # The attribute through which torch's own gradient scaler tells the fused kernel to skip a step.
    optimizer.found_inf = halted  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm
