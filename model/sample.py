"""Text from a trained model.

Purpose: continues a prompt with the last checkpoint of a corpus, on the CPU, piece by piece as it is made.
Guarantee: the same checkpoint, prompt, settings and seed give the same text.
Cost: see `generate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.model import checkpoint
from tokenmill.model.generate import Choice, generate
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
    choice: Choice,
    seed: int,
    stop: Sequence[str] = (),
    encoder: Codec | None = None,
    progress: Progress | None = None,
) -> Iterator[str]:
    """Continue `prompt` with the model of the corpus in `root`: yield the prompt, then pieces of text as they are made.

    Parameters
    ----------
    prompt
        The beginning of a document.
    tokens
        The most tokens to generate, at least 1; an end-of-text ends the text earlier.
    stop
        Texts that end it, too. They are not given.
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
    if tokens < 1 or not all(stop):
        raise ConfigError(f"sample: {tokens=} must be at least 1, and a text to stop at must not be empty")
    as_utf8(prompt, where="prompt")
    folder = root / MODEL / checkpoint.FOLDER
    found = checkpoint.newest(folder, progress or Silent())
    if found is None:
        raise NotBuilt(f"{root} has no trained model: there is no checkpoint in {folder}; train it first")
    if encoder is None:
        encoder = codec_of(root)
    if found.state.tokenizer != encoder.fingerprint:
        raise StaleInput(f"{folder}: was trained with the tokenizer {found.state.tokenizer}, but {encoder.fingerprint=}")
    end_of_text = found.state.end_of_text
    ids = encoder.encode(pa.array([prompt], pa.large_string()))[0].tolist()
    model = checkpoint.load_model(found)
    # A document begins after an end-of-text.
    made = generate(model, [[end_of_text, *ids]], tokens=tokens, choice=choice, seed=seed, end_of_text=end_of_text)
    return _pieces(encoder, ids, (one for (one,) in made if one is not None), stop)


def codec_of(root: Path) -> Codec:
    """The tokenizer of the corpus in `root`. Raises NotBuilt."""
    now = versions.reading(root)
    codec = of_corpus(now.folder, manifest.load(now.folder, TOKENIZER))
    # Read now: a build that ends meanwhile removes the version.
    codec.decode([])
    return codec


def _pieces(encoder: Codec, ids: list[int], made: Iterator[int], stop: Sequence[str]) -> Iterator[str]:
    """The text of `ids`, then that of `made`, without a character that is cut, or what may become a text to stop at."""
    told = encoder.decode(ids)
    yield told
    begun = len(told)
    text = told
    for one in made:
        ids.append(one)
        text = encoder.decode(ids)
        ends = [at for at in (text.find(end, begun) for end in stop) if at >= 0]
        if ends:
            yield text[len(told) : min(ends)]
            return
        sure = text[: len(text) - _unsure(text[begun:], stop)]
        if len(sure) > len(told):
            yield sure[len(told) :]
            told = sure
    yield text[len(told) :]


def _unsure(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end may still change, or begin a text to stop at."""
    cut = len(text) - len(text.rstrip("\N{REPLACEMENT CHARACTER}"))
    return max([cut, *(size for end in stop for size in range(1, len(end)) if text.endswith(end[:size]))])
