"""Rules: which statistic is compared with which threshold, in which order, and the reason of a drop.

Purpose: a document is dropped for the first rule that it fails. Thresholds are applied late, to stored scores.
Guarantee: a rule's setting, score column and reason share one stem, as `Rule` states. `first_failing` is a pure function of
scores and thresholds. A row whose value equals the threshold passes.
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
    """A rule, named by its `setting`: the field `min_<stem>` or `max_<stem>` of `Thresholds`.

    The stem names the statistic, and thus the score's column. The reason is `too_few_<stem>` for a minimum, `too_many_<stem>`
    for a maximum whose stem has a minimum as well, and the stem alone for any other maximum.
    """

    setting: str

    @property
    def column(self) -> str:
        """The stem."""
        return self.setting[4:]

    @property
    def is_minimum(self) -> bool:
        return self.setting.startswith("min_")

    @property
    def reason(self) -> str:
        if self.is_minimum:
            return f"too_few_{self.column}"
        return f"too_many_{self.column}" if f"min_{self.column}" in Thresholds.model_fields else self.column


RULES: tuple[Rule, ...] = (
    Rule("max_duplicate_paragraphs"),
    Rule("max_duplicate_paragraph_characters"),
    Rule("max_duplicate_lines"),
    Rule("max_duplicate_line_characters"),
    *(Rule(f"max_top_{n}gram") for n in range(2, 5)),
    *(Rule(f"max_duplicate_{n}gram") for n in range(5, 11)),
    Rule("min_words"),
    Rule("max_words"),
    Rule("min_mean_word_characters"),
    Rule("max_mean_word_characters"),
    Rule("max_hashes_per_word"),
    Rule("max_ellipses_per_word"),
    Rule("max_bullet_lines"),
    Rule("max_ellipsis_lines"),
    Rule("min_alphabetic_words"),
    Rule("min_stop_words"),
    Rule("max_lorem_ipsum_lines"),
    Rule("max_curly_bracket_lines"),
    Rule("min_sentences"),
    Rule("min_punctuated_lines"),
    Rule("max_short_lines"),
    Rule("max_duplicate_characters"),
    Rule("max_newlines_per_word"),
)
"""All rules, in the order in which they are checked."""


def active(thresholds: Thresholds) -> Iterator[tuple[Rule, float]]:
    """The rules that are on, in order, with their thresholds."""
    for rule in RULES:
        threshold = getattr(thresholds, rule.setting)
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
