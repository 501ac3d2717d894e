"""Fine-tuning to classes: a head on the causal model says to which class a text belongs (Radford et al. 2018, "GPT", 3.2).

Purpose: `loss` reads the model at the last token of each text; many short texts share a row, each with its own positions.
Guarantee: a text gets the logits that it gets alone. Cost: no head over the vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 -- its usual name

from tokenmill.model import checkpoint, data
from tokenmill.model.encoders import Classifier
from tokenmill.model.loss import Loss
from tokenmill.model.objectives.examples import Labelled
from tokenmill.model.objectives.packing import Example, Rows, packed
from tokenmill.model.sample import encoder_of
from tokenmill.pipeline.base.progress import Progress, Silent
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


def batch(rows: Rows, numbers: npt.NDArray[np.int64]) -> Classes:
    """Rows as tensors, with attention that stays within texts."""
    windows = data.windows_of(rows.batch(numbers), "document")
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


def classify(root: Path, texts: Sequence[str], progress: Progress | None = None) -> list[tuple[str, float]]:
    """The most probable label of each text, with its probability, by the last classifier of the corpus in `root`.

    Longer texts are cut at the context. Raises NotBuilt, StaleInput and CorruptFile as `checkpoint.last` does, and InputError
    for a text that cannot be encoded.
    """
    encoder, _held = encoder_of(root)
    found = checkpoint.last(root, encoder.fingerprint, progress or Silent(), objective="classes")
    model, state = checkpoint.load(found), found.state
    assert isinstance(model, Classifier)
    nameless = [Labelled(text=text, label=state.labels[0]) for text in texts]
    length = state.shape.context_tokens
    some, _ = examples_of(nameless, state.labels, encoder, most=length - 1)
    # A label is the number of its text here, to find it again in its row.
    numbered = [dataclasses.replace(one, label=number) for number, one in enumerate(some)]
    rows = packed(numbered, length=length, seed=0, end_of_text=state.end_of_text)
    said: list[tuple[str, float]] = [("", 0.0)] * len(texts)
    model.eval()
    with torch.inference_mode():
        for row in range(len(rows)):
            one = batch(rows, np.array([row]))
            shares, bests = model(one.ids, one.starts, one.edges, one.ends).softmax(dim=1).max(dim=1)
            for number, best, share in zip(one.labels.tolist(), bests.tolist(), shares.tolist(), strict=True):
                said[number] = (state.labels[best], share)
    return said


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
