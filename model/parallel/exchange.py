"""How tensors come from the first process to all others, each to its part, and return for a checkpoint.

Guarantee: what is gathered has the names, shapes and numbers of a model in one process. Tensors travel as numbers, and what is
known of them as JSON.
Cost: the first process holds all of it in the memory of its host, 12 bytes for each parameter of AdamW; the others, one whole
tensor at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.tensor import DTensor, distribute_tensor

from tokenmill.model.parallel.layout import ProcessLayout

Tensors = dict[str, dict[str, Tensor]]
"""By kind, as in a checkpoint, and name."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What all processes know of a tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    """Of its parts."""
    owner: int
    """The first process that has it, or a part of it."""


def spread(
    layout: ProcessLayout, parts: Tensors, whole: Tensors | None, *, device: torch.device
) -> dict[tuple[str, str], Gathered]:
    """Copy to `parts` their parts of `whole`, which the first process has. Returns what there is. A collective."""
    listed = [
        (kind, name, tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for kind, held in (whole or {}).items()
        for name, value in held.items()
    ]
    told = layout.told(listed)
    owners = torch.tensor([layout.rank if name in parts[kind] else layout.ranks for kind, name, _, _ in told])
    dist.all_reduce(owners, dist.ReduceOp.MIN)
    known = {
        (kind, name): Gathered(shape=tuple(shape), dtype=getattr(torch, dtype), device=device, owner=owner)
        for (kind, name, shape, dtype), owner in zip(told, owners.tolist(), strict=True)
    }
    for (kind, name), one in known.items():
        if whole is None:
            value = torch.empty(one.shape, dtype=one.dtype, device=device)
        else:
            value = whole[kind][name].detach().to(device)
        dist.broadcast(value, 0)
        if name in parts[kind]:
            _place(parts[kind][name].detach(), value)
    return known


def gathered(layout: ProcessLayout, known: Mapping[tuple[str, str], Gathered], tensors: Tensors) -> Tensors | None:
    """The whole tensors of which these are the parts, on the CPU, in the first process; None in others. A collective."""
    found: Tensors = {kind: {} for kind in tensors}
    for (kind, name), one in known.items():
        if kind not in tensors:
            continue
        part = tensors[kind].get(name)
        whole = part.full_tensor() if isinstance(part, DTensor) else part
        if layout.first:
            if whole is None:
                whole = torch.empty(one.shape, dtype=one.dtype, device=one.device)
                dist.recv(whole, one.owner)
            found[kind][name] = whole.detach().cpu()
        elif layout.rank == one.owner and whole is not None:
            dist.send(whole.contiguous(), 0)
    return found if layout.first else None


def _place(target: Tensor, whole: Tensor) -> None:
    if isinstance(target, DTensor):
        whole = distribute_tensor(whole, target.device_mesh, target.placements, src_data_rank=None)
    target.copy_(whole)
