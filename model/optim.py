"""The optimizer and its schedule.

Purpose: AdamW (Loshchilov and Hutter 2019) with GPT-3's momenta (Brown et al. 2020, appendix B); weight decay on matrices
only, since pulling biases and LayerNorm's gains towards 0 has no use.
Guarantee: the learning rate is a pure function of the step, so the schedule has no state to save. An update that would
bring in a value that is not finite is not made, without asking the device.
Cost: two numbers of state per parameter; one fused kernel per group and step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.95)


def learning_rate(step: int, *, steps: int, warmup_steps: int, peak: float, floor: float) -> float:
    """The rate of update number `step` (from 0): a linear rise to `peak`, then half a cosine towards `floor`.

    `peak` is reached at `warmup_steps`, `floor` would be at `steps` (Radford et al. 2018, section 4.1).
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    fraction = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * fraction))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices with weight decay; vectors (biases, LayerNorm) without."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


def adamw(model: nn.Module, *, weight_decay: float) -> torch.optim.AdamW:
    """The optimizer of `model`. `update` sets its learning rate at each step."""
    return torch.optim.AdamW(parameter_groups(model, weight_decay), lr=0.0, betas=BETAS, eps=1e-8, fused=True)


def update(optimizer: torch.optim.AdamW, loss: Tensor, *, rate: float, clip_norm: float, halted: Tensor) -> Tensor:
    """Clip the gradients, make one update, clear the gradients. Returns their norm before clipping (a scalar).

    Where loss or norm is not finite, `halted` (a float scalar, 0 before) becomes 1; while it is 1, weights and moments
    stay as they are, bit for bit. All of it happens on the device: nothing waits for a value.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    halted.logical_or_(~(torch.isfinite(loss) & torch.isfinite(norm)))
    for group in optimizer.param_groups:
        group["lr"] = rate
    # The name under which torch's own gradient scaler tells the fused kernel to leave a step out.
    optimizer.found_inf = halted  # type: ignore[attr-defined]
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm
