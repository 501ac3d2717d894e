"""Validation: cross-entropy on windows that are the same throughout a run, whole, by source and by language.

Guarantee: the same weights give the same value: nothing is drawn at random, and dropout is off. Every token of a window counts
once, and bits per byte are of exactly the documents whose tokens were read.
Cost: a third of a training step per token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tokenmill.model import data
from tokenmill.model.gpt import GPT
from tokenmill.model.groups import TokenGroups, by_source
from tokenmill.model.loss import Loss, token_losses
from tokenmill.model.parallel.divided import Divided
from tokenmill.pipeline.base.errors import Interrupted
from tokenmill.pipeline.config import Attention
from tokenmill.pipeline.tokens import Split


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Validation at one step: mean cross-entropy in nats per token over `tokens` tokens."""

    step: int
    tokens: int
    loss: float
    bits_per_byte: float | None = None
    """Bits of all tokens that were read, for each byte of text that they stand for on average in their source. None without
    text. Of the whole split it is exact."""
    sources: Mapping[str, float] = field(default_factory=dict)
    """The loss of each source of which tokens were read."""
    languages: Mapping[str, float] = field(default_factory=dict)
    """The same of each language, where the corpus knows them."""
    accuracy: float | None = None
    """The part of the labels that is right, where the model tells classes apart."""


def spread(windows: int, wanted: int) -> npt.NDArray[np.int64]:
    """The numbers of at most `wanted` of `windows` windows, int64 [count], spread evenly: the same ones at every evaluation."""
    count = min(windows, wanted)
    return np.arange(count, dtype=np.int64) * windows // max(1, count)


def evaluate(
    model: GPT,
    split: Split,
    numbers: npt.NDArray[np.int64],
    *,
    step: int,
    attention: Attention,
    batch_windows: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    chunk_tokens: int | None = None,
    languages: TokenGroups | None = None,
    asked: Callable[[], int] = lambda: 0,
    divided: Divided | None = None,
) -> Evaluation:
    """Evaluate `model` on windows of its `context_tokens` tokens, with the attention that training uses.

    The model is in evaluation mode meanwhile, and returns to its mode afterwards.

    Parameters
    ----------
    numbers
        int64 [windows], at least one: the numbers of the windows in `split`.
    step
        The number of updates so far; it is only recorded in the result.
    batch_windows
        Windows per forward pass.
    chunk_tokens
        The most tokens whose logits exist at a time; None for all of a forward pass.
    languages
        Those of the split's tokens.
    asked
        Gives the number of a signal that ends the evaluation, or 0. It is called before each batch.
    divided
        The model as it lies in several processes, which all evaluate: each reads its part of the windows.

    Raises
    ------
    CorruptFile
        A shard of the split is damaged.
    Interrupted
        A signal was `asked`.
    """
    length = model.shape.context_tokens
    sums = [_Sums(groups, device) for groups in (by_source(split), languages) if groups is not None]
    was_training = model.training
    model.eval()
    through = divided or Divided(model=model)
    slices = through.layout.data_ranks
    # DTensors cannot be made in inference mode.
    with torch.no_grad() if through.layout.parts > 1 else torch.inference_mode(), autocast(device, precision):
        for first in range(0, len(numbers), batch_windows * slices):
            if number := asked():
                raise Interrupted(f"the evaluation after step {step} was stopped", number=number)
            together = numbers[first : first + batch_windows * slices]
            some = together[through.layout.data_rank :: slices]
            # All processes compute as often. What one reads only for that does not count.
            windows = data.windows_at(split, some if len(some) else together[:1], length, attention)
            windows = data.moved(windows, device)
            losses = through.evaluated(token_losses, windows, chunk_tokens=chunk_tokens).flatten()
            if len(some) == 0 or not through.has_loss:
                continue
            places = (torch.from_numpy(some * length)[:, None] + torch.arange(length)).flatten().to(device)
            counts = torch.ones_like(losses) if windows.kept is None else windows.kept[:, 1:].flatten()
            for one in sums:
                one.add(places, losses, counts)
    for one in sums:
        through.layout.add_up(one.totals)
    model.train(was_training)
    nats, tokens = sums[0].totals.tolist()
    read = int(sum(tokens))
    return Evaluation(
        step=step,
        tokens=read,
        loss=sum(nats) / max(1, read),
        bits_per_byte=_bits_per_byte(split, nats, tokens),
        sources=sums[0].means(),
        languages=sums[1].means() if len(sums) > 1 else {},
    )


def evaluate_batches(
    model: nn.Module,
    batch: Callable[[npt.NDArray[np.int64]], data.TensorBatch],
    loss: Callable[..., Loss],
    numbers: npt.NDArray[np.int64],
    *,
    right: Callable[..., Tensor] | None,
    step: int,
    batch_windows: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    chunk_tokens: int | None = None,
    asked: Callable[[], int] = lambda: 0,
) -> Evaluation:
    """Evaluate a model of any objective: its mean loss for each target, without bits per byte and sources.

    `batch` gives the samples of some numbers, `loss` theirs, `right` how many of their targets the model gets right. The other
    parameters, and the errors, are those of `evaluate`.
    """
    nats, targets, rights = 0.0, 0, 0
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device, precision):
        for first in range(0, len(numbers), batch_windows):
            if number := asked():
                raise Interrupted(f"the evaluation after step {step} was stopped", number=number)
            some = data.moved(batch(numbers[first : first + batch_windows]), device)
            nats += loss(model, some, chunk_tokens=chunk_tokens).nats.item()
            rights += 0 if right is None else int(right(model, some))
            targets += some.targets
    model.train(was_training)
    accuracy = None if right is None else rights / max(1, targets)
    return Evaluation(step=step, tokens=targets, loss=nats / max(1, targets), accuracy=accuracy)


class _Sums:
    """Sums of losses and numbers of targets, for each group."""

    def __init__(self, groups: TokenGroups, device: torch.device) -> None:
        self.names = groups.names
        self.edges, self.numbers = (torch.from_numpy(part).to(device) for part in (groups.edges, groups.numbers))
        # Apple's GPUs have no float64.
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.totals = torch.zeros((2, len(groups.names)), dtype=dtype, device=device)

    def add(self, places: Tensor, losses: Tensor, counts: Tensor) -> None:
        """Add targets: int64 places in the split, losses in nats, and whether they count, [targets] each."""
        of = self.numbers[torch.bucketize(places, self.edges, right=True)]
        for row, values in zip(self.totals, (losses, counts), strict=True):
            row.index_add_(0, of, values.to(row.dtype))

    def means(self) -> dict[str, float]:
        """The mean loss of each group that has targets."""
        return {name: total / count for name, total, count in zip(self.names, *self.totals.tolist(), strict=True) if count}


def _bits_per_byte(split: Split, nats: list[float], tokens: list[float]) -> float | None:
    """Of what was read of each source: bits, for each byte that so many of its tokens have on average."""
    text = sum(count * run.text_bytes / run.tokens for run, count in zip(split.sources, tokens, strict=True) if run.tokens)
    return sum(nats) / math.log(2) / text if text else None


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Matrix products in `precision`. In float32 nothing is cast, so that a resumed run is bit-identical on the CPU."""
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)
