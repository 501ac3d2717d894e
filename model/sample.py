"""Text from a trained model.

Purpose: continue a prompt with the last checkpoint of a corpus, token by token, on the CPU.
Guarantee: same checkpoint, prompt, settings and seed, same text; ids of the vocabulary's padding cannot come out.
Cost: one pass over the whole context per token.
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
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import MODEL, TOKENIZER
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.tokenizer.encode import of_corpus


class Codec(Protocol):
    """What sampling needs of a tokenizer."""

    @property
    def fingerprint(self) -> str: ...

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]: ...

    def decode(self, ids: list[int]) -> str: ...


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
    """`prompt` and what the model of the corpus in `root` continues it with: at most `tokens` tokens, up to end-of-text.

    The prompt is taken for the beginning of a document. `temperature` 0 takes the likeliest token each time; `top_k`
    leaves the choice to so many of the likeliest (None: to all). `encoder`: None for the corpus's own tokenizer.
    Raises ConfigError for settings out of bounds, NotBuilt when there is no checkpoint, CorruptFile when none is whole,
    StaleInput when the model was trained with another tokenizer than `encoder`.
    """
    if tokens < 1 or not (math.isfinite(temperature) and temperature >= 0) or (top_k is not None and top_k < 1):
        raise ConfigError(f"sample: {tokens=} and {top_k=} must be at least 1, {temperature=} at least 0")
    folder = root / MODEL / checkpoint.FOLDER
    found = checkpoint.newest(folder, progress or Silent())
    if found is None:
        raise NotBuilt(f"{root} has no trained model: there is no checkpoint in {folder}; train it first")
    if encoder is None:
        encoder = of_corpus(root, manifest.load(root, TOKENIZER))
    if found.state.tokenizer != encoder.fingerprint:
        raise StaleInput(f"{folder}: trained with tokenizer {found.state.tokenizer}, but {encoder.fingerprint=}")
    end_of_text = found.state.end_of_text
    text, _ = encoder.encode(pa.array([prompt], pa.large_string()))
    # Where attention crosses documents, a document stands after an end-of-text: that is how a model knows a beginning.
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
    """At most `tokens` ids that follow `ids`; end-of-text ends them and is not among them.

    Where the text is longer than the model's context, its end is what the model sees; where there is none, an end-of-text is.
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
    """One id drawn from softmax(logits / temperature) among the `top_k` likeliest. logits: float [vocabulary]"""
    if temperature == 0:
        return int(logits.argmax())
    values, candidates = logits.float().topk(min(top_k or len(logits), len(logits)))
    # Relative to the highest, so that no temperature, however low, makes an infinity.
    probabilities = ((values - values[0]) / temperature).softmax(dim=0)
    return int(candidates[torch.multinomial(probabilities, 1, generator=generator)])
