"""Validation: cross-entropy on windows that are the same throughout a run, whole and by source.

Guarantee: the same weights give the same value: nothing is drawn at random, and dropout is off. Every token of a window counts
once, and bits per byte are of exactly the documents whose tokens were read.
Cost: a third of a training step per token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from tokenmill.model import data
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import token_losses
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
    asked: Sequence[int] = (),
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
    asked
        Numbers of signals: the first one that appears in it ends the evaluation.

    Raises
    ------
    CorruptFile
        A shard of the split is damaged.
    Interrupted
        A signal was `asked`.
    """
    length = model.shape.context_tokens
    runs = split.sources
    edges = torch.tensor([run.first_token for run in runs[1:]], device=device)
    sums = torch.zeros((2, len(runs)), dtype=torch.float64, device=device)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device, precision):
        for first in range(0, len(numbers), batch_windows):
            if asked:
                raise Interrupted(f"the evaluation after step {step} was stopped", number=asked[0])
            some = numbers[first : first + batch_windows]
            windows = data.windows_at(split, some, length, attention).to(device)
            places = torch.from_numpy(some * length)[:, None] + torch.arange(length)
            of = torch.bucketize(places.to(device), edges, right=True).flatten()
            counts = torch.ones_like(of) if windows.kept is None else windows.kept[:, 1:].flatten()
            sums[0].index_add_(0, of, token_losses(model, windows).flatten().double())
            sums[1].index_add_(0, of, counts.double())
    model.train(was_training)
    nats, tokens = sums.tolist()
    read = int(sum(tokens))
    return Evaluation(
        step=step,
        tokens=read,
        loss=sum(nats) / max(1, read),
        bits_per_byte=_bits_per_byte(split, nats, tokens),
        sources={run.source: total / count for run, total, count in zip(runs, nats, tokens, strict=True) if count},
    )


def _bits_per_byte(split: Split, nats: list[float], tokens: list[float]) -> float | None:
    """Of what was read of each source: bits, for each byte that so many of its tokens have on average."""
    text = sum(count * run.text_bytes / run.tokens for run, count in zip(split.sources, tokens, strict=True) if run.tokens)
    return sum(nats) / math.log(2) / text if text else None


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Matrix products in `precision`. In float32 nothing is cast, so that a resumed run is bit-identical on the CPU."""
    return torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32)
