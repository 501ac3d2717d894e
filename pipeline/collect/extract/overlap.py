"""Tokens of a text, and how far two texts share them: precision, recall and F1.

Purpose: one figure for how good an extracted text is beside the text that people took from the page.
Source: token F1 on multisets, as in SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250). A token is a run of letters and digits in
lower case, or one character of Chinese or Japanese, which have no spaces. The order of tokens does not count.
Cost: 10 MB of text per second.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

UNSPACED = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana and Han characters, as a character class."""
TOKEN = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")
IMAGE = re.compile(r"!\[[^\]]*\]\([^)\s]*(?:\s+\"[^\"]*\")?\)")
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\([^)\s]*(?:\s+\"[^\"]*\")?\)")
TAG = re.compile(r"</?[A-Za-z][^<>]*>")


@dataclass(frozen=True, kw_only=True)
class TokenOverlap:
    """Tokens of an extracted text, of the expected one, and those that both have."""

    extracted: int
    expected: int
    common: int

    @property
    def precision(self) -> float:
        """The share of the extracted tokens that are expected; 1 if there are none of either, else 0 if none are extracted."""
        return self.common / self.extracted if self.extracted else float(not self.expected)

    @property
    def recall(self) -> float:
        """The share of the expected tokens that are extracted; 1 if nothing is expected."""
        return self.common / self.expected if self.expected else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; 1 for two texts without tokens."""
        both = self.extracted + self.expected
        return 2 * self.common / both if both else 1.0


def tokens(text: str) -> list[str]:
    """The tokens of a text, in order."""
    return TOKEN.findall(text.lower())


def overlap(extracted: Iterable[str], expected: Iterable[str]) -> TokenOverlap:
    """How far two multisets of tokens are the same."""
    found, wanted = Counter(extracted), Counter(expected)
    return TokenOverlap(extracted=found.total(), expected=wanted.total(), common=(found & wanted).total())


def without_markdown(text: str) -> str:
    """Markdown without addresses, images and tags, of which extracted text has none. Its marks are no tokens, so they stay."""
    return TAG.sub(" ", LINK.sub(r"\1", IMAGE.sub(" ", text)))
