"""A tokenizer in Python: learned from a table of texts, or loaded from a file.

Guarantee: `train` gives the bytes that `tokenmill build` and `tokenmill tokenizer train` give for the same texts and settings.
Cost: see `tokenizer.step`; the texts stand in a temporary folder meanwhile.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base import executor, files
from tokenmill.pipeline.base.utf8 import as_utf8
from tokenmill.pipeline.collect.memory import collected, texts_of
from tokenmill.pipeline.config import TokenizerConfig, given
from tokenmill.pipeline.config.settings import SAMPLE_BYTES
from tokenmill.pipeline.stages.step import Work, perform
from tokenmill.tokenizer.encode import FILE, Models
from tokenmill.tokenizer.files import read
from tokenmill.tokenizer.formats import describe
from tokenmill.tokenizer.pretokenize import pattern as pattern_of
from tokenmill.tokenizer.step import TokenizerStep


class Tokenizer:
    """A tokenizer, a byte-level BPE or a WordPiece. Made by `train` and `load`; `data` is its `tokenizer.json`.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tokenizer = tm.tokenizer.train(["to be or not to be"] * 3, vocabulary=260)
    >>> tokenizer.decode(tokenizer.encode("to be")[0])
    'to be'
    """

    def __init__(self, data: bytes, *, where: str, own_pattern: str | None = None) -> None:
        self.data = data
        self._where = where
        self._own_pattern = own_pattern

    @functools.cached_property
    def _models(self) -> Models:
        own = None if self._own_pattern is None else pattern_of(self._own_pattern).regex
        return Models(describe(self.data, where=self._where, own_regex=own), self._where)

    @property
    def vocabulary(self) -> int:
        """The number of ids."""
        return self._models.description.vocabulary

    @property
    def end_of_text(self) -> int:
        """The id that ends a document. It never comes out of text."""
        return self._models.description.end_of_text

    def encode(self, texts: str | Sequence[str]) -> list[npt.NDArray[np.uint32]]:
        """The ids of one text, or of several: an array each. A special token inside a text is text."""
        wanted = [texts] if isinstance(texts, str) else list(texts)
        for number, text in enumerate(wanted):
            as_utf8(text, where=f"text {number}")
        ids, counts = self._models.encode(wanted)
        return np.split(ids, np.cumsum(counts)[:-1]) if wanted else []

    def decode(self, ids: Sequence[int] | npt.NDArray[Any]) -> str:
        """The text of ids, with U+FFFD for bytes that are no UTF-8. Raises InputError for an id that there is not.

        WordPiece gives words with one space between them, and `[UNK]` for unknown ones.
        """
        return self._models.description.decode_bytes(map(int, ids), where=self._where).decode("utf-8", errors="replace")

    def save(self, path: str | Path) -> Path:
        """Write it as a `tokenizer.json` that `tokenizers` and `transformers` read."""
        files.write_bytes(Path(path), self.data)
        return Path(path)

    def __repr__(self) -> str:
        return f"Tokenizer({self._where}): {self.vocabulary:,} ids"


def load(path: str | Path, *, pattern: str | None = None) -> Tokenizer:
    """Open a tokenizer.

    Parameters
    ----------
    path
        `tokenizer.json`, GPT-2's `vocab.json` beside `merges.txt`, ranks (`*.tiktoken`), or a folder with one, such as a
        corpus.
    pattern
        How text is cut, where the file does not say it: a name or a regular expression.

    Raises
    ------
    NotBuilt
        There is no tokenizer.
    ConfigError
        The file cannot be used.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.tokenizer.load(folder / "corpus").vocabulary
    300
    """
    return Tokenizer(read(Path(path), pattern), where=str(path), own_pattern=pattern)


def config_of(**values: object) -> TokenizerConfig:
    """The settings of a tokenizer by these values. Raises ConfigError for what is out of bounds or contradicts another one."""
    return given(TokenizerConfig, values, "tokenizer")


def train(
    table: Any,
    *,
    vocabulary: int = 32_768,
    pattern: str = "cl100k",
    min_frequency: int = 2,
    sample_bytes: int = SAMPLE_BYTES,
    kind: Literal["bpe", "wordpiece"] = "bpe",
    lowercase: bool = False,
    strip_accents: bool = False,
    alphabet: int = 1_000,
    text: str = "text",
    out: str | Path | None = None,
    workers: int = 1,
) -> Tokenizer:
    """Learn a tokenizer from texts, a byte-level BPE or BERT's WordPiece.

    Parameters
    ----------
    table
        Anything with an Arrow stream (pyarrow, polars, pandas, `datasets`), or a list of strings.
    vocabulary
        How many ids: 256 bytes, the end of a text, and merges. Less text gives fewer.
    pattern
        How text is cut before merging: `gpt2`, `cl100k`, `llama3`, `qwen2`, `o200k`, or a regular expression.
    min_frequency
        A pair that occurs less often is not merged.
    sample_bytes
        Learn from a sample of about this much text, if there is more; 0: from all of it.
    kind
        `bpe`, which gives text back exactly, or `wordpiece`, which does not.
    lowercase, strip_accents
        WordPiece: whether text is lower-cased, and accents are removed, as in BERT's uncased models.
    alphabet
        WordPiece: the most characters that are known; a word with another one is unknown.
    text
        The column of the texts.
    out
        Also write the tokenizer to this file.
    workers
        Processes.

    Raises
    ------
    ConfigError
        A setting is out of bounds.
    InputError
        The table has no such column, or there is no text.

    Examples
    --------
    >>> import tokenmill as tm
    >>> tm.tokenizer.train(["to be or not to be"] * 3, vocabulary=260).vocabulary
    260
    """
    texts = texts_of(table, text)
    config = config_of(
        vocabulary=vocabulary,
        pattern=pattern,
        min_frequency=min_frequency,
        sample_bytes=sample_bytes,
        kind=kind,
        lowercase=lowercase,
        strip_accents=strip_accents,
        alphabet=alphabet,
    )
    step = TokenizerStep(config=config)
    step.config()
    with tempfile.TemporaryDirectory(prefix="tokenmill-") as folder, executor.local(workers) as pool:
        root = Path(folder)
        perform(step, Work(root=root, before=(collected(root, texts),), executor=pool), downstream=())
        data = (root / FILE).read_bytes()
    made = Tokenizer(data, where="learned", own_pattern=pattern if pattern_of(pattern).kind is None else None)
    if out is not None:
        made.save(out)
    return made
