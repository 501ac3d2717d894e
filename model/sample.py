"""Text from a trained model.

Purpose: continues a prompt with the last checkpoint of a corpus, on the CPU, piece by piece as it is made.
Guarantee: the same checkpoint, prompt, settings and seed give the same text.
Cost: see `generate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.model import checkpoint
from tokenmill.model.generate import Choice, generate
from tokenmill.model.gpt import GPT
from tokenmill.pipeline.base import manifest, versions
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt, StaleInput
from tokenmill.pipeline.base.manifest import MODEL, TOKENIZER
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.base.utf8 import as_utf8
from tokenmill.pipeline.base.versions import InView
from tokenmill.pipeline.config.train import MOST
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


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A trained model with its tokenizer, ready to continue texts."""

    model: GPT
    encoder: Codec
    end_of_text: int
    held: object = None
    """The version of the corpus, while the encoder may read of it: a build that ends meanwhile would remove it."""

    def ids(self, text: str) -> list[int]:
        """The ids of a text. Raises InputError for one that is not UTF-8."""
        as_utf8(text, where="prompt")
        ids: list[int] = self.encoder.encode(pa.array([text], pa.large_string()))[0].tolist()
        return ids

    def say(self, prompt: str, *, tokens: int, choice: Choice, seed: int, stop: Sequence[str] = ()) -> Iterator[str]:
        """The prompt, then pieces of its continuation as they are made. Parameters, errors: see `sample`."""
        require_sensible(tokens=tokens, seed=seed, stop=stop)
        ids = self.ids(prompt)
        # A document begins after an end-of-text.
        begun = [[self.end_of_text, *ids]]
        made = generate(self.model, begun, tokens=tokens, choice=choice, seed=seed, end_of_text=self.end_of_text)
        return _pieces(self.encoder, ids, (one for (one,) in made if one is not None), stop)


def require_sensible(*, tokens: int, seed: int, stop: Sequence[str]) -> None:
    """Raises ConfigError for what is out of bounds, InputError for a text to stop at that is not UTF-8."""
    for text in stop:
        as_utf8(text, where="stop")
    bounds = {
        f"{tokens=} must be from 1 to {MOST:,}": 1 <= tokens <= MOST,
        f"{seed=} must be from 0 to 2^63 - 1": 0 <= seed < 2**63,
        "a text to stop at must not be empty": all(stop),
    }
    if wrong := [said for said, holds in bounds.items() if not holds]:
        raise ConfigError(f"sample: {'; '.join(wrong)}")


def codec_of(root: Path) -> tuple[Codec, InView]:
    """The tokenizer of the corpus in `root`, and what keeps its version while it may be read. Raises NotBuilt."""
    now = versions.reading(root)
    return of_corpus(now.folder, manifest.load(now.folder, TOKENIZER)), now


def open_speaker(root: Path, encoder: Codec | None = None, progress: Progress | None = None) -> Speaker:
    """The model of the last checkpoint of a corpus. Parameters, errors: see `sample`."""
    folder = root / MODEL / checkpoint.FOLDER
    found = checkpoint.newest(folder, progress or Silent())
    if found is None:
        raise NotBuilt(f"{root} has no trained model: there is no checkpoint in {folder}; train it first")
    held = None
    if encoder is None:
        encoder, held = codec_of(root)
    if found.state.tokenizer != encoder.fingerprint:
        raise StaleInput(
            f"{folder}: was trained with the tokenizer {found.state.tokenizer}, but the corpus now has {encoder.fingerprint}; "
            "train again (train --restart), or build the corpus with the settings of before"
        )
    return Speaker(model=checkpoint.load_model(found), encoder=encoder, end_of_text=found.state.end_of_text, held=held)


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
    seed
        From 0 to 2^63 - 1.
    stop
        Texts that end it, too. They are not given.
    encoder
        The tokenizer; None for the corpus's own.

    Raises
    ------
    ConfigError
        A setting is out of bounds.
    InputError
        The prompt is not UTF-8.
    NotBuilt
        There is no checkpoint.
    CorruptFile
        No checkpoint is whole.
    StaleInput
        The model was trained with another tokenizer than `encoder`.
    """
    require_sensible(tokens=tokens, seed=seed, stop=stop)
    as_utf8(prompt, where="prompt")
    return open_speaker(root, encoder, progress).say(prompt, tokens=tokens, choice=choice, seed=seed, stop=stop)


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
