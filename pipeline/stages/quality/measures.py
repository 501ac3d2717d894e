"""What each statistic of the stage `quality` measures, in a sentence, and the passages of a text that it counts.

Purpose: people who judge a threshold see what made it fire, in the text itself.
Guarantee: passages are for reading. They follow the definitions of `statistics` on words between white space, which the
kernels split more finely, so a passage may be longer or shorter than what was counted; no decision is made from them.
Cost: a few regular expressions over one text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from tokenmill.pipeline.stages.criteria import Measure, Spans

WORD = re.compile(r"\S+")
LINE = re.compile(r"[^\n]+")
PARAGRAPH = re.compile(r"[^\n](?:[^\n]|\n(?!\n))*")
SHORT_CHARACTERS = 30
LONG_WORD_CHARACTERS = 12
ENDS = tuple(".!?。！？।؟…\"'”’»")


def _all(pattern: str, flags: int = 0) -> Callable[[str], Spans]:
    found = re.compile(pattern, flags)
    return lambda text: [match.span() for match in found.finditer(text)]


def _repeated(units: re.Pattern[str]) -> Callable[[str], Spans]:
    """Units that occurred before."""

    def find(text: str) -> Spans:
        seen: set[str] = set()
        spans = []
        for match in units.finditer(text):
            unit = match[0].strip()
            if unit and unit in seen:
                spans.append(match.span())
            seen.add(unit)
        return spans

    return find


def _lines(fires: Callable[[str], bool]) -> Callable[[str], Spans]:
    """Lines of which `fires`, given without white space around them, is true."""
    return lambda text: [match.span() for match in LINE.finditer(text) if match[0].strip() and fires(match[0].strip())]


def _words(fires: Callable[[str], bool]) -> Callable[[str], Spans]:
    return lambda text: [match.span() for match in WORD.finditer(text) if fires(match[0])]


def _top(n: int) -> Callable[[str], Spans]:
    """The most frequent n-gram, wherever it stands."""

    def find(text: str) -> Spans:
        words = list(WORD.finditer(text))
        grams = [tuple(word[0] for word in words[at : at + n]) for at in range(len(words) - n + 1)]
        counts = Counter(grams)
        if not counts or max(counts.values()) < 2:
            return []
        top = max(counts, key=lambda gram: counts[gram])
        return _disjoint([(words[at].start(), words[at + n - 1].end()) for at, gram in enumerate(grams) if gram == top])

    return find


def _seen_before(n: int) -> Callable[[str], Spans]:
    """N-grams that occurred before, from the left and without overlap."""

    def find(text: str) -> Spans:
        words = list(WORD.finditer(text))
        seen: set[tuple[str, ...]] = set()
        spans: Spans = []
        at = 0
        while at + n <= len(words):
            gram = tuple(word[0] for word in words[at : at + n])
            if gram in seen:
                spans.append((words[at].start(), words[at + n - 1].end()))
                at += n
            else:
                seen.add(gram)
                at += 1
        return spans

    return find


def _disjoint(spans: Spans) -> Spans:
    kept: Spans = []
    for start, end in spans:
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


STOP_WORDS = _all(r"\b(?:the|be|to|of|and|that|have|with)\b")
_LINES = "lines that repeat an earlier one"
_PARAGRAPHS = "paragraphs that repeat an earlier one"

MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "duplicate_paragraphs": Measure(
            sentence="Share of paragraphs that repeat an earlier one.", marked=_PARAGRAPHS, find=_repeated(PARAGRAPH)
        ),
        "duplicate_paragraph_characters": Measure(
            sentence="Share of characters in paragraphs that repeat an earlier one.",
            marked=_PARAGRAPHS,
            find=_repeated(PARAGRAPH),
        ),
        "duplicate_lines": Measure(sentence="Share of lines that repeat an earlier one.", marked=_LINES, find=_repeated(LINE)),
        "duplicate_line_characters": Measure(
            sentence="Share of characters in lines that repeat an earlier one.", marked=_LINES, find=_repeated(LINE)
        ),
        **{
            f"top_{n}gram": Measure(
                sentence=f"Characters of the most frequent sequence of {n} words, times its count, per character of text.",
                marked=f"the most frequent sequence of {n} words",
                find=_top(n),
            )
            for n in (2, 3, 4)
        },
        **{
            f"duplicate_{n}gram": Measure(
                sentence=f"Characters in sequences of {n} words that occurred before, per character of text.",
                marked=f"sequences of {n} words that occurred before",
                find=_seen_before(n),
            )
            for n in range(5, 11)
        },
        "words": Measure(sentence="Number of words, without those that are all symbols."),
        "mean_word_characters": Measure(
            sentence="Mean number of characters of a word, over words that are not all symbols.",
            marked=f"words of more than {LONG_WORD_CHARACTERS} characters",
            find=_words(lambda word: len(word) > LONG_WORD_CHARACTERS),
        ),
        "hashes_per_word": Measure(sentence="Hash signs per word.", marked="hash signs", find=_all("#+")),
        "ellipses_per_word": Measure(sentence="Ellipses per word.", marked="ellipses", find=_all(r"\.\.\.+|…")),
        "bullet_lines": Measure(
            sentence="Share of lines that begin with a bullet.",
            marked="lines that begin with a bullet",
            find=_lines(lambda line: line.startswith(("•", "-"))),
        ),
        "ellipsis_lines": Measure(
            sentence="Share of lines that end in an ellipsis.",
            marked="lines that end in an ellipsis",
            find=_lines(lambda line: line.endswith(("...", "…"))),
        ),
        "alphabetic_words": Measure(
            sentence="Share of words with a letter.",
            marked="words without a letter",
            find=_words(lambda word: not any(map(str.isalpha, word))),
        ),
        "stop_words": Measure(
            sentence="Number of different words out of: the, be, to, of, and, that, have, with.",
            marked="these words",
            find=STOP_WORDS,
        ),
        "lorem_ipsum_lines": Measure(
            sentence='Number of lines with "lorem ipsum".',
            marked='"lorem ipsum"',
            find=_all("lorem ipsum", re.IGNORECASE),
        ),
        "curly_bracket_lines": Measure(
            sentence="Number of lines with a curly bracket.", marked="curly brackets", find=_all("[{}]+")
        ),
        "sentences": Measure(sentence="Number of sentences in the lines that the line rules leave."),
        "punctuated_lines": Measure(
            sentence="Share of lines that end in punctuation that ends a sentence.",
            marked="lines that end otherwise",
            find=_lines(lambda line: not line.endswith(ENDS)),
        ),
        "short_lines": Measure(
            sentence=f"Share of lines of at most {SHORT_CHARACTERS} characters.",
            marked="these lines",
            find=_lines(lambda line: len(line) <= SHORT_CHARACTERS),
        ),
        "duplicate_characters": Measure(
            sentence="Share of characters in lines that repeat an earlier one, without blank lines.",
            marked=_LINES,
            find=_repeated(LINE),
        ),
        "newlines_per_word": Measure(
            sentence="Newlines per word.",
            marked="lines of at most three words",
            find=_lines(lambda line: len(line.split()) <= 3),
        ),
    }
)
"""By score column."""
