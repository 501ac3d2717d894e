"""Text from a trained model.

Purpose: continues a prompt with the last checkpoint of a corpus, on the CPU, piece by piece as it is made.
Guarantee: the same checkpoint, prompt, settings and seed give the same text.
Cost: see `generate`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tokenmill.model import checkpoint
from tokenmill.model.generate import Choice, generate
from tokenmill.model.gpt import GPT
from tokenmill.pipeline.base import manifest, versions
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.base.utf8 import as_utf8
from tokenmill.pipeline.base.versions import InView
from tokenmill.pipeline.config.train import MOST, TEMPLATE
from tokenmill.pipeline.tokens.encoder import Encoder
from tokenmill.tokenizer.encode import FastEncoder, of_corpus


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """A trained model with its tokenizer, ready to continue texts."""

    model: GPT
    encoder: Encoder
    end_of_text: int
    template: str = TEMPLATE
    """How the conversations were written that it learnt from."""
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


def encoder_of(root: Path) -> tuple[FastEncoder, InView]:
    """The tokenizer of the corpus in `root`, and what keeps its version while it may be read. Raises NotBuilt."""
    now = versions.reading(root)
    return of_corpus(now.folder, manifest.load(now.folder, TOKENIZER)), now


def open_speaker(
    root: Path, encoder: Encoder | None = None, progress: Progress | None = None, *, objective: str | None = None
) -> Speaker:
    """The model of the last checkpoint of a corpus. Parameters, errors: see `sample`."""
    held = None
    if encoder is None:
        encoder, held = encoder_of(root)
    found = checkpoint.speaking(root, encoder.fingerprint, progress or Silent(), objective=objective)
    template = str(found.state.config.get("template", TEMPLATE)) if found.state.objective == "instructions" else TEMPLATE
    model, end_of_text = checkpoint.load_model(found), found.state.end_of_text
    return Speaker(model=model, encoder=encoder, end_of_text=end_of_text, template=template, held=held)


def sample(
    root: Path,
    prompt: str,
    *,
    tokens: int,
    choice: Choice,
    seed: int,
    stop: Sequence[str] = (),
    encoder: Encoder | None = None,
    progress: Progress | None = None,
    objective: str | None = None,
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
    objective
        Of the model: see `checkpoint.speaking`.

    Raises
    ------
    ConfigError
        A setting is out of bounds, or models of this objective do not continue texts.
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
    return open_speaker(root, encoder, progress, objective=objective).say(
        prompt, tokens=tokens, choice=choice, seed=seed, stop=stop
    )


def _pieces(encoder: Encoder, ids: list[int], made: Iterator[int], stop: Sequence[str]) -> Iterator[str]:
    """The text of `ids`, then that of `made`, without a character that is cut, or what may become a text to stop at."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    yield decoder.decode(encoder.decode_bytes(ids))
    held, last = "", ids[-1:]
    for one in made:
        # What it adds to the token before it: the first word of a text has no space before it.
        held += decoder.decode(encoder.decode_bytes([*last, one])[len(encoder.decode_bytes(last)) :])
        last = [one]
        ends = [at for at in (held.find(end) for end in stop) if at >= 0]
        if ends:
            yield held[: min(ends)]
            return
        begun = max((size for end in stop for size in range(1, len(end)) if held.endswith(end[:size])), default=0)
        if len(held) > begun:
            yield held[: len(held) - begun]
            held = held[len(held) - begun :]
    yield held + decoder.decode(b"", final=True)
