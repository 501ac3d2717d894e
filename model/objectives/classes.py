"""Fine-tuning to classes: a head on the causal model says to which class a text belongs (Radford et al. 2018, "GPT", 3.2).

Purpose: `loss` reads the model at the last token of each text; many short texts share a row, each with its own positions.
Guarantee: with attention within documents, a text gets the logits that it gets alone. Cost: no head over the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its usual name

from tokenmill.model import data
from tokenmill.model.encoders import Classifier
from tokenmill.model.loss import Loss
from tokenmill.model.objectives.examples import Labelled
from tokenmill.model.objectives.packing import Example, Rows
from tokenmill.pipeline.config import Attention
from tokenmill.pipeline.tokens.encoder import Encoder


@dataclass(frozen=True, kw_only=True)
class Classes:
    """A batch of B rows of T tokens, in which E texts stand."""

    ids: Tensor
    """int64 [B, T]"""
    starts: Tensor | None
    edges: Tensor | None
    """As those of `data.Windows`."""
    ends: Tensor
    """int64 [E]: where, row after row, the last token of each text is."""
    labels: Tensor
    """int64 [E]"""
    targets: int
    """E."""


def examples_of(texts: Sequence[Labelled], labels: Sequence[str], encoder: Encoder, *, most: int) -> tuple[list[Example], int]:
    """Texts as examples of at most `most` ids, and how many were cut there. Raises InputError."""
    if not texts:
        return [], 0
    ids, counts = encoder.encode(pa.array([one.text for one in texts], pa.large_string()))
    parts = np.split(ids.astype(np.int64), np.cumsum(counts)[:-1])
    number = {label: at for at, label in enumerate(labels)}
    found = [
        Example(ids=part[:most], kept=np.zeros(len(part[:most]) + 1, dtype=np.bool_), label=number[one.label])
        for part, one in zip(parts, texts, strict=True)
    ]
    return found, int((counts > most).sum())


def batch(rows: Rows, numbers: npt.NDArray[np.int64], attention: Attention) -> Classes:
    """Rows as tensors."""
    windows = data.windows_of(rows.batch(numbers), attention)
    tokens = windows.ids.shape[1] - 1
    ends = [place * tokens + end for place, row in enumerate(numbers.tolist()) for end in rows.ends[row]]
    labels = [label for row in numbers.tolist() for label in rows.labels[row]]
    return Classes(
        ids=windows.ids[:, :-1],
        starts=windows.starts,
        edges=windows.edges,
        ends=torch.tensor(ends),
        labels=torch.tensor(labels),
        targets=len(labels),
    )


def loss(
    model: Classifier, some: Classes, *, z_loss: float = 0.0, chunk_tokens: int | None = None, compiled: bool = False
) -> Loss:
    """The loss of the labels. There are few logits, so the further settings of `loss.next_token_loss` change nothing."""
    logits = model(some.ids, some.starts, some.edges, some.ends).float()
    nats = F.cross_entropy(logits, some.labels, reduction="sum")
    return Loss(nats, nats.new_zeros(()))


def right(model: Classifier, some: Classes) -> Tensor:
    """How many texts get their own label, int64 scalar."""
    said: Tensor = model(some.ids, some.starts, some.edges, some.ends).argmax(dim=1)
    return (said == some.labels).sum()
