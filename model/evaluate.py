"""Validation: cross-entropy on windows that stay the same over a run.

Guarantee: the same weights give the same value; nothing is drawn at random, and dropout is off.
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
    """Only where all of the split was read and nothing is forgotten; a part would be compared with other bytes than its own."""


def spread(windows: int, wanted: int) -> npt.NDArray[np.int64]:
    """At most `wanted` windows, evenly over the split: the same ones at every evaluation."""
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
    """The mean loss over the windows at `places` (at least one), each `context_tokens` long, with the attention of training."""
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
    """Bits per byte of text from nats per token. The end of a split that fills no window is taken at the mean.

    End-of-text is a token and adds no byte. None for a split without text.
    """
    text_bytes = pc.sum(split.documents_table()["text_bytes"]).as_py()
    return loss / math.log(2) * split.tokens / text_bytes if text_bytes else None


def autocast(device: torch.device) -> torch.autocast:
    """bf16 for matrix products on a GPU; on the CPU float32 throughout, which is what makes a resume bit-equal there."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
