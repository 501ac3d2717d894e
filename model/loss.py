"""The loss: cross-entropy of each next token, as a sum and a count.

Purpose: what is divided by what is decided once per update, over all batches and processes: a mean of means would weigh the
tokens of a batch with few targets more.
Guarantee: targets that do not count have no gradient. In chunks the same numbers come out, and only a chunk's logits exist.
Cost: 4 bytes for each token of a chunk and each id, twice; in chunks the head is computed again in the backward pass. Compiled
on a GPU it is 2 bytes, twice: logits are read once in each pass, and never exist in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import functional as F  # noqa: N812 -- its usual name
from torch.utils.checkpoint import checkpoint

from tokenmill.model.data import Windows
from tokenmill.model.gpt import GPT

IGNORED = -100


class Loss(NamedTuple):
    """Sums over the targets that count, float32 scalars on the device."""

    nats: Tensor
    """Of the cross-entropy."""
    penalty: Tensor
    """Of the squared log of the softmax's denominator, times the weight of the z-loss, which keeps logits from drifting
    (Chowdhery et al. 2022, "PaLM", section 5)."""


def next_token_loss(
    model: GPT, windows: Windows, *, z_loss: float = 0.0, chunk_tokens: int | None = None, compiled: bool = False
) -> Loss:
    """The loss of those targets of `windows` that count.

    `z_loss`: the weight of its penalty. `chunk_tokens`: the most tokens whose logits exist at a time; None for all.
    `compiled`: head and loss as one compiled function.
    """
    hidden = model.hidden(windows.ids[:, :-1], windows.starts, edges=windows.edges).flatten(0, 1)
    targets = targets_of(windows).flatten()
    return targets_loss(model, hidden, targets, z_loss=z_loss, chunk_tokens=chunk_tokens, compiled=compiled)


def targets_of(windows: Windows) -> Tensor:
    """The id that follows each token, int64 [B, T]; -100 where it does not count."""
    targets = windows.ids[:, 1:]
    return targets if windows.kept is None else targets.masked_fill(~windows.kept[:, 1:], IGNORED)


class Headed(Protocol):
    """A model with a head over the vocabulary."""

    def logits(self, hidden: Tensor) -> Tensor:
        """float [..., W] -> float [..., padded_vocabulary]"""
        ...


def targets_loss(
    model: Headed,
    hidden: Tensor,
    targets: Tensor,
    *,
    z_loss: float = 0.0,
    chunk_tokens: int | None = None,
    compiled: bool = False,
) -> Loss:
    """The loss of ids, int64 [targets], -100 where there is none, each from what the head sees, float [targets, W].

    Parameters: as those of `next_token_loss`.
    """
    of_hidden = _compiled() if compiled else _of_hidden
    if chunk_tokens is None or chunk_tokens >= len(targets):
        return of_hidden(model, hidden, targets, z_loss)
    parts = [
        Loss(*checkpoint(of_hidden, model, some, wanted, z_loss, use_reentrant=False))
        for some, wanted in zip(torch.split(hidden, chunk_tokens), torch.split(targets, chunk_tokens), strict=True)
    ]
    return Loss(torch.stack([one.nats for one in parts]).sum(), torch.stack([one.penalty for one in parts]).sum())


def token_losses(model: GPT, windows: Windows, *, chunk_tokens: int | None = None) -> Tensor:
    """The cross-entropy of each target in nats, float32 [B, T]; 0 where it does not count. `chunk_tokens`: as above."""
    hidden = model.hidden(windows.ids[:, :-1], windows.starts, edges=windows.edges)
    return losses_of_hidden(model, hidden, windows, chunk_tokens=chunk_tokens)


def losses_of_hidden(model: GPT, hidden: Tensor, windows: Windows, *, chunk_tokens: int | None = None) -> Tensor:
    """`token_losses` of what the head sees, float [B, T, W]."""
    hidden, targets = hidden.flatten(0, 1), windows.ids[:, 1:].flatten()
    parts = zip(*(torch.split(whole, chunk_tokens or len(targets)) for whole in (hidden, targets)), strict=True)
    losses = [whole(F.cross_entropy(model.logits(some).float(), wanted, reduction="none")) for some, wanted in parts]
    each = torch.cat(losses).view(len(windows.ids), -1)
    return each if windows.kept is None else each.masked_fill(~windows.kept[:, 1:], 0.0)


def whole(values: Tensor) -> Tensor:
    """Values whose logits may lie in several processes, all of which have them."""
    return values.full_tensor().clone() if isinstance(values, DTensor) else values


def _of_hidden(model: Headed, hidden: Tensor, targets: Tensor, z_loss: float) -> Loss:
    logits = model.logits(hidden).float()
    nats = whole(F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum"))
    if not z_loss:
        return Loss(nats, nats.new_zeros(()))
    squares = whole(logits.logsumexp(dim=-1)).square()
    return Loss(nats, z_loss * squares.masked_fill(targets == IGNORED, 0.0).sum())


@functools.cache
def _compiled() -> Callable[[Headed, Tensor, Tensor, float], Loss]:
    """`_of_hidden`, compiled at its first call, for all models of this process."""
    return torch.compile(_of_hidden)
