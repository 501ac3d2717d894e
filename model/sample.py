"""Generates text with a trained model.

Purpose: continues a prompt with the last checkpoint of a corpus, token by token, on the CPU.
Guarantee: the same checkpoint, prompt, settings and seed give the same text; ids of the vocabulary's padding are never drawn.
Cost: one forward pass over the whole context per token.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from tokenmill.model import checkpoint
from tokenmill.model.gpt import GPT
from tokenmill.pipeline.base import manifest, versions
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import MODEL, TOKENIZER
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.base.utf8 import as_utf8
from tokenmill.tokenizer.encode import of_corpus


class Codec(Protocol):
    """The part of a tokenizer that sampling needs."""

    @property
    def fingerprint(self) -> str:
        """Identifies the tokenizer."""
        ...

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        """The ids of all texts end to end, uint32, and the number of ids of each text, int64 [texts]."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`."""
        ...


def sample(
    root: Path,
    prompt: str,
    *,
    tokens: int,
    temperature: float,
    top_k: int | None,
    seed: int,
    encoder: Codec | None = None,
    progress: Progress | None = None,
) -> str:
    """Return `prompt` and its continuation by the model of the corpus in `root`.

    Parameters
    ----------
    prompt
        The beginning of a document.
    tokens
        The most tokens to generate, at least 1; an end-of-text ends the text earlier.
    temperature
        At least 0; 0 always chooses the most probable token.
    top_k
        Choose only among this many most probable tokens, at least 1; None chooses among all.
    encoder
        The tokenizer; None for the corpus's own.

    Raises
    ------
    ConfigError
        A setting is out of bounds.
    NotBuilt
        There is no checkpoint.
    CorruptFile
        No checkpoint is whole.
    StaleInput
        The model was trained with another tokenizer than `encoder`.
    """
    if tokens < 1 or not (math.isfinite(temperature) and temperature >= 0) or (top_k is not None and top_k < 1):
        raise ConfigError(f"sample: {tokens=} and {top_k=} must be at least 1, {temperature=} at least 0")
    as_utf8(prompt, where="prompt")
    folder = root / MODEL / checkpoint.FOLDER
    found = checkpoint.newest(folder, progress or Silent())
    if found is None:
        raise NotBuilt(f"{root} has no trained model: there is no checkpoint in {folder}; train it first")
    if encoder is None:
        # Held until the end: a build that ends meanwhile would remove the version, and the encoder reads its file late.
        now = versions.reading(root)
        encoder = of_corpus(now.folder, manifest.load(now.folder, TOKENIZER))
    if found.state.tokenizer != encoder.fingerprint:
        raise StaleInput(f"{folder}: was trained with the tokenizer {found.state.tokenizer}, but {encoder.fingerprint=}")
    end_of_text = found.state.end_of_text
    text, _ = encoder.encode(pa.array([prompt], pa.large_string()))
    # If attention crosses documents, the model recognises the beginning of a document by the end-of-text before it.
    before = [end_of_text] if found.state.config.get("attention") == "window" else []
    made = generate(
        checkpoint.load_model(found),
        [*before, *text.tolist()],
        tokens=tokens,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        end_of_text=end_of_text,
    )
    return encoder.decode(text.tolist() + made)


def generate(
    model: GPT, ids: list[int], *, tokens: int, temperature: float, top_k: int | None, seed: int, end_of_text: int
) -> list[int]:
    """Return at most `tokens` ids that continue `ids`; an end-of-text ends them and is not included.

    The model sees the last `context_tokens` ids of the text, or a single end-of-text if the text is empty. `temperature` and
    `top_k`: as in `sample`.
    """
    generator = torch.Generator().manual_seed(seed)
    made: list[int] = []
    model.eval()
    with torch.inference_mode():
        for _ in range(tokens):
            context = torch.tensor([(ids + made)[-model.shape.context_tokens :] or [end_of_text]])
            chosen = choose(model(context)[0, -1], temperature=temperature, top_k=top_k, generator=generator)
            if chosen == end_of_text:
                break
            made.append(chosen)
    return made


def choose(logits: Tensor, *, temperature: float, top_k: int | None, generator: torch.Generator) -> int:
    """Draw an id from softmax(logits / temperature) among the `top_k` most probable ids.

    `logits`: float [vocabulary]. A `temperature` of 0 chooses the most probable id; a `top_k` of None considers all ids.
    """
    if temperature == 0:
        return int(logits.argmax())
    values, candidates = logits.float().topk(min(top_k or len(logits), len(logits)))
    # Subtract the highest value first, so that no temperature, however low, produces an infinity.
    probabilities = ((values - values[0]) / temperature).softmax(dim=0)
    return int(candidates[torch.multinomial(probabilities, 1, generator=generator)])
