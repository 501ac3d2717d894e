"""What is known of a tokenizer on a text: how well it compresses which part of it, and what becomes of its tokens.

Purpose: the values that the report shows of a vocabulary; `tokenizer.evaluate` and `tokenizer.report` make them.
Guarantee: plain sums; ratios are made where they are shown. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(kw_only=True)
class Part:
    """A part of the text. `words` are what white space separates; `single` are tokens of one byte. No end-of-text counts."""

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    single: int = 0

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def tokens_per_word(self) -> float:
        """Fertility: of a word, how many tokens."""
        return self.tokens / self.words if self.words else 0.0

    @property
    def single_share(self) -> float:
        return self.single / self.tokens if self.tokens else 0.0


@dataclass(frozen=True, kw_only=True)
class Script:
    """The tokens of one script: how many the vocabulary has, how often they occur in the text, and their characters there."""

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
class Vocabulary:
    """A tokenizer on a text. Special tokens are left out of everything but `ids`."""

    ids: int
    tokens: int
    unused: int
    rare: int
    """Tokens that occur, but less often than `rare_below` times."""
    rare_below: int
    total: Part
    parts: Mapping[str, Mapping[str, Part]]
    """By a heading ("source", "language") and a name, the largest part first."""
    scripts: tuple[Script, ...]
    longest: tuple[Token, ...]
    """Of the tokens that occur."""
    longest_unused: tuple[Token, ...]
