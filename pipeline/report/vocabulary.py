"""Measurements of a tokenizer on a text: how well it compresses each part of the text, and how its tokens are used.

Purpose: hold the values that the report shows about a vocabulary; `tokenizer.evaluate` and `tokenizer.report` make them.
Guarantee: they are plain sums; ratios are computed where they are shown. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(kw_only=True)
class TextPart:
    """A part of the text. White space separates `words`; `single` counts tokens of one byte, `unknown` those that stand for a
    word without ids of its own. End-of-text is not counted.
    """

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    single: int = 0
    unknown: int = 0

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def tokens_per_word(self) -> float:
        """Fertility: the number of tokens per word."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def single_share(self) -> float:
        return self.single / self.tokens if self.tokens else 0.0

    @property
    def unknown_share(self) -> float:
        return self.unknown / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, kw_only=True)
class Script:
    """The tokens of one script: their number, how many of them are used, how often they occur, and their characters there."""

    name: str
    tokens: int
    used: int
    uses: int
    characters: int


@dataclass(frozen=True, kw_only=True)
class Token:
    """One token and how often it occurs in the text."""

    data: bytes
    uses: int


@dataclass(frozen=True, kw_only=True)
class VocabularyStatistics:
    """A tokenizer on a text. Only `ids` counts special tokens."""

    lossy: bool = False
    """Whether the tokenizer has unknown words: WordPiece."""
    ids: int
    tokens: int
    unused: int
    rare: int
    """Tokens that occur, but less often than `rare_below` times."""
    rare_below: int
    total: TextPart
    parts: Mapping[str, Mapping[str, TextPart]]
    """By heading ("source", "language") and name, the largest part first."""
    scripts: tuple[Script, ...]
    longest: tuple[Token, ...]
    """The longest tokens that occur in the text."""
    longest_unused: tuple[Token, ...]
