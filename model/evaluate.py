"""Validation: cross-entropy on windows that are the same throughout a run.

Guarantee: the same weights give the same value: nothing is drawn at random, and dropout is off.
Cost: a third of a training step per token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import torch

from tokenmill.model import data
from tokenmill.model.gpt import GPT, next_token_loss
from tokenmill.pipeline.config import Attention
from tokenmill.pipeline.tokens import Split


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Validation at one step: mean cross-entropy in nats per token over `tokens` tokens."""

    step: int
    tokens: int
    loss: float
    bits_per_byte: float | None = None
    """None unless the whole split was read and no document of it is forgotten: otherwise the loss and the bytes of text
    would not belong to the same part of it."""


def spread(windows: int, wanted: int) -> npt.NDArray[np.int64]:
    """The numbers of at most `wanted` of `windows` windows, int64 [count], spread evenly: the same ones at every evaluation."""
    count = min(windows, wanted)
    return np.arange(count, dtype=np.int64) * windows // max(1, count)


def evaluate(
    model: GPT,
    split: Split,
    places: npt.NDArray[np.int64],
    *,
    step: int,
    attention: Attention,
    batch_windows: int,
    device: torch.device,
) -> Evaluation:
    """Evaluate `model` on windows of its `context_tokens` tokens, with the attention that training uses.

    The model is in evaluation mode meanwhile, and returns to its mode afterwards.

    Parameters
    ----------
    places
        int64 [windows], at least one: the numbers of the windows in `split`.
    step
        The number of updates so far; it is only recorded in the result.
    batch_windows
        Windows per forward pass.

    Raises
    ------
    CorruptFile
        A shard of the split is damaged.
    """
    length = model.shape.context_tokens
    total = torch.zeros((), dtype=torch.float64, device=device)
    masked = torch.zeros((), dtype=torch.int64, device=device)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device):
        for first in range(0, len(places), batch_windows):
            windows = data.windows_at(split, places[first : first + batch_windows], length, attention).to(device)
            total += next_token_loss(model, windows.ids, kept=windows.kept, starts=windows.starts, reduction="sum")
            masked += 0 if windows.kept is None else (~windows.kept[:, 1:]).sum()
    model.train(was_training)
    tokens = len(places) * length - int(masked.item())
    loss = total.item() / max(1, tokens)
    whole = len(places) == split.windows(length) and not split.has_forgotten
    return Evaluation(step=step, tokens=tokens, loss=loss, bits_per_byte=bits_per_byte(loss, split) if whole else None)


def bits_per_byte(loss: float, split: Split) -> float | None:
    """Convert a mean loss in nats per token of the whole `split` to bits per byte of its text.

    The tokens at the end of the split that fill no window are assumed to have the mean loss. End-of-text counts as a token and
    has no bytes. Returns None for a split without text.
    """
    text_bytes = pc.sum(split.documents_table()["text_bytes"]).as_py()
    return loss / math.log(2) * split.tokens / text_bytes if text_bytes else None


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for matrix products on a GPU; float32 throughout on the CPU, so that a resumed run is bit-identical there."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
