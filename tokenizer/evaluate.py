"""Measure a tokenizer on a text: bytes per token, tokens per word, unknown words, scripts, and unused, rare, long tokens.

Guarantee: the counts are exact over everything that was added, whatever the order or the size of the batches.
Cost: encoding, plus splitting the text into words (160 MB/s) and one look-up per token. Memory: one counter per id.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.report.vocabulary import Script, TextPart, Token, VocabularyStatistics
from tokenmill.tokenizer.description import Description

RARE_BELOW = 10
SHOWN_TOKENS = 30
PIECES = "pieces of characters"
NO_LETTERS = "no letters"
NOT_SCRIPTS = frozenset(
    {
        "Combining",
        "Double",
        "Feminine",
        "Fullwidth",
        "Halfwidth",
        "Ideographic",
        "Masculine",
        "Mathematical",
        "Micro",
        "Modifier",
        "Unnamed",
        "Vertical",
    }
)
"""First words of the Unicode names of letters that do not name a script."""

Integers = npt.NDArray[np.int64]


class TokenCounts(NamedTuple):
    """What the ids of documents are."""

    frequencies: Integers
    """int64 [ids]: how often each id occurs."""
    single: Integers
    """int64 [documents]: tokens of one byte."""
    unknown: Integers
    """int64 [documents]: tokens that stand for what the tokenizer does not know."""


@dataclass(frozen=True, kw_only=True)
class IdCounter:
    """Counts ids. `single`, bool [ids]: those of one byte. `unknown`: the id of what the tokenizer does not know, or None."""

    single: npt.NDArray[np.bool_]
    unknown: int | None

    def __call__(self, ids: npt.NDArray[np.integer], counts: Integers) -> TokenCounts:
        """Count the `ids` of documents end to end; `counts`: the number of each document's."""
        bounds = np.concatenate(([0], np.cumsum(counts)))

        def of_each(marked: npt.NDArray[np.bool_]) -> Integers:
            return np.diff(np.concatenate(([0], np.cumsum(marked, dtype=np.int64)))[bounds])

        return TokenCounts(
            frequencies=np.bincount(ids, minlength=len(self.single)).astype(np.int64),
            single=of_each(self.single[ids]),
            unknown=np.zeros_like(counts) if self.unknown is None else of_each(ids == self.unknown),
        )


@dataclass(kw_only=True)
class Usage:
    """Counts of tokens over a text, and sums over its parts."""

    description: Description
    frequencies: Integers
    """int64 [ids]: how often each id occurs."""
    parts: dict[str, dict[str, TextPart]] = field(default_factory=dict)
    total: TextPart = field(default_factory=TextPart)
    _single: npt.NDArray[np.bool_]

    @staticmethod
    def of(description: Description) -> Usage:
        """Counts of zero for the tokenizer that `description` describes."""
        single = np.array([token is not None and len(token) == 1 for token in description.tokens], dtype=np.bool_)
        return Usage(description=description, frequencies=np.zeros(len(single), dtype=np.int64), _single=single)

    def add(
        self,
        ids: npt.NDArray[np.integer],
        counts: Integers,
        sizes: Integers,
        words: Integers,
        labels: Mapping[str, Sequence[str]],
    ) -> None:
        """Add a batch of documents.

        `ids`: their ids end to end. For each document: `counts`, its number of ids; `sizes`, its bytes; `words`, its words;
        `labels`, its label under each heading.
        """
        found = self.counter(ids, counts)
        self.frequencies += found.frequencies
        self.add_counted(found, counts, sizes, words, labels)

    @property
    def counter(self) -> IdCounter:
        """What counts the ids of documents, in any process."""
        return IdCounter(single=self._single, unknown=self.description.unknown)

    def add_counted(
        self, found: TokenCounts, counts: Integers, sizes: Integers, words: Integers, labels: Mapping[str, Sequence[str]]
    ) -> None:
        """Add documents whose ids are counted, without their frequencies. For the other parameters, see `add`."""
        columns = np.stack([np.ones_like(counts), sizes, words, counts, found.single, found.unknown], axis=1)
        _add(self.total, columns.sum(axis=0))
        for heading, names in labels.items():
            known, codes = np.unique(np.array(names, dtype=object), return_inverse=True)
            mine = self.parts.setdefault(heading, {})
            for code, name in enumerate(known.tolist()):
                _add(mine.setdefault(name, TextPart()), columns[codes == code].sum(axis=0))

    def summary(self) -> VocabularyStatistics:
        """Everything that the report shows, computed from the counts."""
        special = {self.description.ids[name] for name in self.description.special}
        frequencies = self.frequencies.tolist()
        known = [
            Token(data=data, uses=uses)
            for number, (data, uses) in enumerate(zip(self.description.tokens, frequencies, strict=True))
            if data is not None and number not in special
        ]
        longest = sorted(known, key=lambda token: (-len(token.data), token.data))
        return VocabularyStatistics(
            lossy=self.description.unknown is not None,
            ids=self.description.vocabulary,
            tokens=len(known),
            unused=sum(token.uses == 0 for token in known),
            rare=sum(0 < token.uses < RARE_BELOW for token in known),
            rare_below=RARE_BELOW,
            total=self.total,
            parts={
                heading: dict(sorted(parts.items(), key=lambda item: (-item[1].bytes, item[0])))
                for heading, parts in self.parts.items()
            },
            scripts=scripts(known),
            longest=tuple([token for token in longest if token.uses][:SHOWN_TOKENS]),
            longest_unused=tuple([token for token in longest if not token.uses][:SHOWN_TOKENS]),
        )


def _add(part: TextPart, sums: Integers) -> None:
    documents, size, words, tokens, single, unknown = sums.tolist()
    part.documents += documents
    part.bytes += size
    part.words += words
    part.tokens += tokens
    part.single += single
    part.unknown += unknown


def sizes_of(texts: pa.Array) -> Integers:
    """The size of each text in bytes. int64 [texts]"""
    return np.asarray(pc.binary_length(texts).to_numpy(zero_copy_only=False), dtype=np.int64)


def words_of(texts: pa.Array) -> Integers:
    """The number of words of each text; white space separates words. int64 [texts]"""
    return np.array([len(text.split()) for text in texts.to_pylist()], dtype=np.int64)


def scripts(tokens: Sequence[Token]) -> tuple[Script, ...]:
    """Sum up tokens by the script of their first letter. The most used script comes first."""
    sums: dict[str, list[int]] = {}
    for token in tokens:
        name, characters = _script(token.data)
        mine = sums.setdefault(name, [0, 0, 0, 0])
        for place, more in enumerate((1, token.uses > 0, token.uses, token.uses * characters)):
            mine[place] += more
    found = [
        Script(name=name, tokens=tokens, used=used, uses=uses, characters=characters)
        for name, (tokens, used, uses, characters) in sums.items()
    ]
    return tuple(sorted(found, key=lambda script: (-script.uses, -script.tokens, script.name)))


def _script(data: bytes) -> tuple[str, int]:
    """The script of a token's first letter, taken from the letter's Unicode name, and the number of characters in the token."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return PIECES, 0
    letter = next((character for character in text if character.isalpha()), None)
    if letter is None:
        return NO_LETTERS, len(text)
    return _script_of(letter), len(text)


@functools.cache
def _script_of(letter: str) -> str:
    name = unicodedata.name(letter, "UNNAMED").split()[0].split("-")[0].capitalize()
    return {"Cjk": "Han"}.get(name, "other letters" if name in NOT_SCRIPTS else name)
