"""The plain Python twins of the quality kernels: strings, sets and regular expressions, one small function per statistic.

`statistics_of` is all that a recipe can ask for; C4's line rules have their twin in `lines_oracle`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from tests.kernels import word_oracle as splitter
from tests.stages.quality.lines_oracle import Left, leave
from tokenmill.pipeline.kernels.words.classes import STOP_WORDS, SYMBOLS, TERMINAL
from tokenmill.pipeline.stages.quality.lines import LineRules

SHORT_LINE_CHARACTERS = 30

_LINE_BREAKS = re.compile("\n+")
_PARAGRAPH_BREAKS = re.compile("\n{2,}")


@dataclass(frozen=True)
class Repeated:
    """How many of `total` strings occurred before among them, and how many characters those have."""

    total: int
    count: int
    characters: int


@dataclass(frozen=True)
class Text:
    """A text, with what several statistics need of it computed once."""

    text: str

    @cached_property
    def words(self) -> list[str]:
        return splitter.words(self.text)

    @cached_property
    def counted(self) -> Counter[str]:
        """The different words, in order of their first occurrence, with their counts."""
        return Counter(self.words)

    @cached_property
    def no_symbols(self) -> list[tuple[str, int]]:
        """The different words that are not all symbols, with their counts."""
        return [(word, count) for word, count in self.counted.items() if not SYMBOLS.issuperset(word)]

    @cached_property
    def lines(self) -> list[str]:
        """Lines as `str.splitlines` has them, the blank ones too."""
        return self.text.splitlines()

    @cached_property
    def written_lines(self) -> list[str]:
        """What newlines separate, without what is blank."""
        return [line for line in self.text.split("\n") if line and not line.isspace()]

    @cached_property
    def repeated_lines(self) -> Repeated:
        return repeated(_LINE_BREAKS.split(self.text))

    @cached_property
    def repeated_paragraphs(self) -> Repeated:
        return repeated(_PARAGRAPH_BREAKS.split(self.text.strip()))


def repeated(strings: Sequence[str]) -> Repeated:
    """The first occurrence of a string is not a repetition."""
    counts = Counter(strings)
    return Repeated(
        total=len(strings),
        count=len(strings) - len(counts),
        characters=sum(len(string) * (count - 1) for string, count in counts.items() if count > 1),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


# Gopher, quality: Rae et al. 2021, section A1.1.


def words(text: Text) -> int:
    """Words that are not all symbols."""
    return sum(count for _, count in text.no_symbols)


def mean_word_characters(text: Text) -> float:
    """Of words that are not all symbols."""
    return _ratio(sum(len(word) * count for word, count in text.no_symbols), words(text))


def hashes_per_word(text: Text) -> float:
    """`#` per word, symbols being words."""
    return _ratio(text.text.count("#"), len(text.words))


def ellipses_per_word(text: Text) -> float:
    """`...` and `…` per word, symbols being words."""
    return _ratio(text.text.count("...") + text.text.count("…"), len(text.words))


def bullet_lines(text: Text) -> float:
    """The share of lines that begin with `•` or `-`."""
    return _ratio(sum(line.lstrip().startswith(("•", "-")) for line in text.lines), len(text.lines))


def ellipsis_lines(text: Text) -> float:
    """The share of lines that end in `...` or `…`."""
    return _ratio(sum(line.rstrip().endswith(("...", "…")) for line in text.lines), len(text.lines))


def alphabetic_words(text: Text) -> float:
    """The share of words with a letter, symbols being words."""
    lettered = sum(count for word, count in text.counted.items() if any(map(str.isalpha, word)))
    return _ratio(lettered, len(text.words))


def stop_words(text: Text) -> int:
    """How many different stop words occur, in lower case."""
    return sum(word in text.counted for word in STOP_WORDS)


# Gopher, repetition: table A1. Shares of characters are of the whole text.


def duplicate_lines(text: Text) -> float:
    """The share of lines, separated by one or more newlines, that occurred before."""
    return text.repeated_lines.count / text.repeated_lines.total


def duplicate_line_characters(text: Text) -> float:
    """The share of characters in such lines."""
    return _ratio(text.repeated_lines.characters, len(text.text))


def duplicate_paragraphs(text: Text) -> float:
    """The share of paragraphs, separated by two or more newlines, that occurred before."""
    return text.repeated_paragraphs.count / text.repeated_paragraphs.total


def duplicate_paragraph_characters(text: Text) -> float:
    """The share of characters in such paragraphs."""
    return _ratio(text.repeated_paragraphs.characters, len(text.text))


def top_ngram(text: Text, n: int) -> float:
    """Characters of the most frequent n-gram (of several, the first), with its spaces, times its count, per character."""
    counts = Counter(zip(*(islice(text.words, at, None) for at in range(n)), strict=False))
    if not counts:
        return 0.0
    ngram, count = counts.most_common(1)[0]
    return (sum(map(len, ngram)) + n - 1) * count / len(text.text)


def duplicate_ngram(text: Text, n: int) -> float:
    """Characters of n-grams that occurred before, without spaces, per character.

    Counted from the left: after an n-gram that is counted, the next begins behind it.
    """
    split, seen, at, characters = text.words, set[str](), 0, 0
    while at + n <= len(split):
        ngram = "".join(split[at : at + n])
        if ngram in seen:
            characters += len(ngram)
            at += n
        else:
            seen.add(ngram)
            at += 1
    return _ratio(characters, len(text.text))


# FineWeb: Penedo et al. 2024, section 3.4. Lines are those that are not blank.


def punctuated_lines(text: Text) -> float:
    """The share of lines that end in terminal punctuation; white space behind it counts as no punctuation."""
    return _ratio(sum(line.endswith(TERMINAL) for line in text.written_lines), len(text.written_lines))


def short_lines(text: Text) -> float:
    """The share of lines of at most 30 characters."""
    return _ratio(sum(len(line) <= SHORT_LINE_CHARACTERS for line in text.written_lines), len(text.written_lines))


def duplicate_characters(text: Text) -> float:
    """The share of characters, newlines left out, in lines that occurred before."""
    return _ratio(repeated(text.written_lines).characters, len(text.text) - text.text.count("\n"))


def newlines_per_word(text: Text) -> float:
    """Newlines per word, symbols being words."""
    return _ratio(text.text.count("\n"), len(text.words))


_OF_TEXTS = (
    duplicate_paragraphs,
    duplicate_paragraph_characters,
    duplicate_lines,
    duplicate_line_characters,
    words,
    mean_word_characters,
    hashes_per_word,
    ellipses_per_word,
    bullet_lines,
    ellipsis_lines,
    alphabetic_words,
    stop_words,
)
_OF_RESTS = (punctuated_lines, short_lines, duplicate_characters, newlines_per_word)


def statistics_of(text: str, rules: LineRules | None) -> dict[str, float]:
    """All statistics; without line rules those of C4 are 0, and FineWeb's are of the whole text."""
    whole = Text(text)
    left = leave(text, rules) if rules is not None else Left(text, [], 0, 0, 0)
    rest = Text(left.text)
    return {
        **{statistic.__name__: statistic(whole) for statistic in _OF_TEXTS},
        **{f"top_{n}gram": top_ngram(whole, n) for n in range(2, 5)},
        **{f"duplicate_{n}gram": duplicate_ngram(whole, n) for n in range(5, 11)},
        "lorem_ipsum_lines": left.lorem_ipsum_lines,
        "curly_bracket_lines": left.curly_bracket_lines,
        "sentences": left.sentences,
        **{statistic.__name__: statistic(rest) for statistic in _OF_RESTS},
    }
