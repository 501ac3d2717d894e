"""Muon: momentum, orthogonalised, for matrices.

Purpose: the update of a matrix is its momentum with all singular values moved close to 1, so that rare directions are learned
as fast as frequent ones (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks").
Guarantee: matrices of one shape are orthogonalised together, in the order in which they were given. An update that must not be
made leaves weights and momenta bit-identical.
Cost: one number of state per parameter; five iterations of three matrix products per update, a tenth of a small model's step.
Where a matrix lies in several processes, its change is gathered, and each of them makes the iterations for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

MOMENTUM = 0.95
ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial a x + b x^3 + c x^5, chosen by its author to grow small singular values fast."""


def orthogonal(matrices: Tensor) -> Tensor:
    """Move all singular values of each matrix to about 1 (0.7 to 1.2), by Newton and Schulz's iteration.

    float [count, rows, columns] -> the same. In bfloat16 on a GPU, in float32 elsewhere.
    """
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    made: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return made


class Muon(torch.optim.Optimizer):
    """The optimizer of matrices, float [rows, columns] each. As in torch's fused ones, `found_inf` above 0 skips an update."""

    found_inf: Tensor | None = None

    def __init__(self, parameters: Iterable[nn.Parameter], *, weight_decay: float) -> None:
        super().__init__(list(parameters), {"lr": 0.0, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one update. Of torch's parameters, there is no `closure`."""
        for group in self.param_groups:
            alike: dict[Any, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                divided = parameter.placements if isinstance(parameter, DTensor) else None
                alike.setdefault((parameter.shape, divided), []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group)

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        states = [self.state[parameter] for parameter in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
        gradients = torch.stack([local(parameter.grad) for parameter in parameters if parameter.grad is not None])
        before = torch.stack([local(state["momentum"]) for state in states])
        momenta = before.lerp(gradients, 1 - MOMENTUM)
        # Nesterov's form: one step further along the gradient.
        changes = parts(orthogonal(wholes(gradients.lerp(momenta, MOMENTUM), parameters)), parameters)
        # A tall matrix maps to more numbers than it reads: its change is scaled so that what comes out changes alike.
        rows, columns = parameters[0].shape
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        weights = torch.stack([local(parameter) for parameter in parameters])
        updated = weights * (1 - group["lr"] * group["weight_decay"]) - rate * changes
        if self.found_inf is not None:
            skipped = self.found_inf > 0
            updated, momenta = torch.where(skipped, weights, updated), torch.where(skipped, before, momenta)
        for parameter, state, weight, momentum in zip(parameters, states, updated, momenta, strict=True):
            local(parameter).copy_(weight)
            local(state["momentum"]).copy_(momentum)


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process has; it shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def wholes(each: Tensor, like: list[nn.Parameter]) -> Tensor:
    """The matrices of which these are the parts that this process has, divided as the parameters are."""
    found = [
        DTensor.from_local(part, one.device_mesh, one.placements, shape=one.shape, stride=one.stride()).full_tensor()
        for part, one in zip(each, like, strict=True)
        if isinstance(one, DTensor)
    ]
    return torch.stack(found) if found else each


def parts(matrices: Tensor, like: list[nn.Parameter]) -> Tensor:
    """Of whole matrices, the parts that this process has."""
    found = [
        local(distribute_tensor(matrix, one.device_mesh, one.placements, src_data_rank=None))
        for matrix, one in zip(matrices, like, strict=True)
        if isinstance(one, DTensor)
    ]
    return torch.stack(found) if found else matrices
