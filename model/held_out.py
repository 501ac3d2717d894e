"""What whole documents cost a model, one by one: for comparing models on texts that are in no token store.

Guarantee: the nats of a document depend on the model and on that document alone. Every token counts once, the end-of-text
after the document included: the sum is that of the probability of exactly this document. A token is predicted from what stands
before it in its document and its window; windows of `context_tokens` follow one another.
Cost: a third of a training step per token; the last window of each document is filled up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from tokenmill.model import checkpoint
from tokenmill.model.data import Windows, moved
from tokenmill.model.evaluate import autocast
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import token_losses
from tokenmill.model.setup import device_of, precision_of
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens.encoder import Encoder

Floats = npt.NDArray[np.float64]


def score(root: Path, texts: pa.Array, encoder: Encoder, config: TrainConfig, progress: Progress) -> Floats:
    """The nats that each of `texts` costs the last checkpoint of the model in `root`: float64 [texts].

    Raises NotBuilt, StaleInput for a model of another tokenizer, ConfigError for a device that does not exist.
    """
    found = checkpoint.last(root, encoder.fingerprint, progress)
    device = device_of(config.device)
    model = checkpoint.load_model(found).to(device)
    ids, counts = encoder.encode(texts)
    documents = np.split(ids.astype(np.int64), np.cumsum(counts)[:-1])
    progress.begin("measure", len(ids) + len(documents), "tokens")
    return document_nats(
        model,
        documents,
        end_of_text=found.state.end_of_text,
        batch_windows=config.batch_windows,
        device=device,
        precision=precision_of(config.precision, device),
        chunk_tokens=config.loss_chunk_tokens,
        advance=progress.advance,
    )


def document_nats(
    model: GPT,
    documents: Sequence[npt.NDArray[np.int64]],
    *,
    end_of_text: int,
    batch_windows: int,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    chunk_tokens: int | None = None,
    advance: Callable[[int], None] = lambda tokens: None,
) -> Floats:
    """The cross-entropy of each document in nats, float64 [documents].

    Parameters
    ----------
    documents
        The ids of each, int64, without an end-of-text.
    batch_windows
        Windows per forward pass.
    chunk_tokens
        The most tokens whose logits exist at a time; None for all of a forward pass.
    advance
        Told how many tokens are done.
    """
    length = model.shape.context_tokens
    # A document is predicted from the end-of-text before it on, with the one behind it.
    streams = [np.concatenate([[end_of_text], ids, [end_of_text]]) for ids in documents]
    windows = [(number, at) for number, ids in enumerate(streams) for at in range(0, len(ids) - 1, length)]
    nats = np.zeros(len(documents))
    was_training = model.training
    model.eval()
    with torch.inference_mode(), autocast(device, precision):
        for first in range(0, len(windows), batch_windows):
            some = windows[first : first + batch_windows]
            rows = np.full((len(some), length + 1), end_of_text, dtype=np.int64)
            kept = np.zeros(rows.shape, dtype=np.bool_)
            for row, (number, at) in enumerate(some):
                part = streams[number][at : at + length + 1]
                rows[row, : len(part)] = part
                kept[row, : len(part)] = True
            targets = int(kept[:, 1:].sum())
            batch = moved(
                Windows(ids=torch.from_numpy(rows), kept=torch.from_numpy(kept), starts=None, targets=targets), device
            )
            losses = token_losses(model, batch, chunk_tokens=chunk_tokens).cpu().double().sum(dim=1).numpy()
            np.add.at(nats, [number for number, _ in some], losses)
            advance(targets)
    model.train(was_training)
    return nats
