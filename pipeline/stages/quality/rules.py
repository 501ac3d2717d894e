"""Rules: which statistic is compared with which threshold, in which order, and the reason of a drop.

Purpose: a document is dropped for the first rule that it fails. Thresholds are applied late, to stored scores.
Guarantee: `first_failing` is a pure function of scores and thresholds. A row whose value equals the threshold passes.
Cost: one comparison per row and rule.

The order is FineWeb's: Gopher repetition, Gopher quality, C4, FineWeb quality. FineWeb's statistics and C4's page statistics
judge the text that C4's line rules left; without line rules that is the whole text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.stages.quality.lines import LineRules
from tokenmill.pipeline.stages.quality.settings import Thresholds


@dataclass(frozen=True)
class Rule:
    """`threshold` names a field of `Thresholds`. Without its prefix `min_` or `max_` it names the statistic to compare."""

    reason: str
    threshold: str

    @property
    def column(self) -> str:
        return self.threshold[4:]

    @property
    def is_minimum(self) -> bool:
        return self.threshold.startswith("min_")


RULES: tuple[Rule, ...] = (
    Rule("duplicate_paragraphs", "max_duplicate_paragraphs"),
    Rule("duplicate_paragraph_characters", "max_duplicate_paragraph_characters"),
    Rule("duplicate_lines", "max_duplicate_lines"),
    Rule("duplicate_line_characters", "max_duplicate_line_characters"),
    *(Rule(f"top_{n}gram", f"max_top_{n}gram") for n in range(2, 5)),
    *(Rule(f"duplicate_{n}gram", f"max_duplicate_{n}gram") for n in range(5, 11)),
    Rule("too_few_words", "min_words"),
    Rule("too_many_words", "max_words"),
    Rule("words_too_short", "min_mean_word_characters"),
    Rule("words_too_long", "max_mean_word_characters"),
    Rule("hashes", "max_hashes_per_word"),
    Rule("ellipses", "max_ellipses_per_word"),
    Rule("bullet_lines", "max_bullet_lines"),
    Rule("ellipsis_lines", "max_ellipsis_lines"),
    Rule("too_few_alphabetic_words", "min_alphabetic_words"),
    Rule("too_few_stop_words", "min_stop_words"),
    Rule("lorem_ipsum", "max_lorem_ipsum_lines"),
    Rule("curly_bracket", "max_curly_bracket_lines"),
    Rule("too_few_sentences", "min_sentences"),
    Rule("too_few_punctuated_lines", "min_punctuated_lines"),
    Rule("short_lines", "max_short_lines"),
    Rule("duplicate_characters", "max_duplicate_characters"),
    Rule("newlines", "max_newlines_per_word"),
)
"""All rules, in the order in which they are checked."""


def active(thresholds: Thresholds) -> Iterator[tuple[Rule, float]]:
    """The rules that are on, in order, with their thresholds."""
    for rule in RULES:
        threshold = getattr(thresholds, rule.threshold)
        if threshold is not None:
            yield rule, threshold


def line_rules(thresholds: Thresholds) -> LineRules | None:
    """C4's line rules, or None if all of C4 is off: then no line is removed."""
    rules = LineRules(
        max_line_word_characters=thresholds.max_line_word_characters,
        min_line_words=thresholds.min_line_words,
        terminal_punctuation=bool(thresholds.terminal_punctuation),
        no_javascript=bool(thresholds.no_javascript),
        no_policy=bool(thresholds.no_policy),
        no_citations=bool(thresholds.no_citations),
    )
    pages = (thresholds.max_lorem_ipsum_lines, thresholds.max_curly_bracket_lines, thresholds.min_sentences)
    return None if rules == LineRules() and all(threshold is None for threshold in pages) else rules


def first_failing(
    scores: Mapping[str, npt.NDArray[np.int32] | npt.NDArray[np.float64]], thresholds: Thresholds
) -> npt.NDArray[np.object_]:
    """For each row of the score columns, the reason of the first rule that it fails; "" if it fails none."""
    rules = list(active(thresholds))
    fails = [
        scores[rule.column] < threshold if rule.is_minimum else scores[rule.column] > threshold for rule, threshold in rules
    ]
    return np.select(fails, [rule.reason for rule, _ in rules], default=KEPT).astype(object)
