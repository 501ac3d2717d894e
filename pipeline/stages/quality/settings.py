"""The section `quality`: a recipe, thresholds that override it, and models.

Guarantee: no maximum is below its minimum, and a model decides in exactly one way. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from tokenmill.pipeline.config.section import About, Section

Fraction = Annotated[float, Field(ge=0, le=1), About(unit="share")]
Probability = Annotated[float, Field(ge=0, le=1), About(unit="probability", example=0.5)]
Ratio = Annotated[float, Field(ge=0)]
Characters = Annotated[float, Field(ge=0), About(unit="characters per character of text")]
Count = Annotated[int, Field(ge=0)]


def column(name: str) -> str:
    """The score column of the model of that name, which is also the reason of what it drops."""
    return f"model_{name}"


class Thresholds(Section):
    """The thresholds of the quality rules. None: the rule is off (in a recipe), or the recipe decides (beside a recipe).

    A document passes a rule when its value equals the threshold. Characters are code points; `pipeline.kernels.words.split`
    defines words.
    """

    # Gopher, repetition. Shares of all lines, paragraphs or characters of the text.
    max_duplicate_paragraphs: Fraction | None = None
    """Highest share of paragraphs that repeat an earlier one."""
    max_duplicate_paragraph_characters: Fraction | None = None
    """Highest share of characters in paragraphs that repeat an earlier one."""
    max_duplicate_lines: Fraction | None = None
    """Highest share of lines that repeat an earlier one."""
    max_duplicate_line_characters: Fraction | None = None
    """Highest share of characters in lines that repeat an earlier one."""
    max_top_2gram: Characters | None = None
    """Most characters of the most frequent pair of words, times its count, per character of text."""
    max_top_3gram: Characters | None = None
    """Most characters of the most frequent three words in a row, times their count, per character of text."""
    max_top_4gram: Characters | None = None
    """Most characters of the most frequent four words in a row, times their count, per character of text."""
    max_duplicate_5gram: Characters | None = None
    """Most characters in 5-grams of words that occurred before, counted without overlap, per character of text."""
    max_duplicate_6gram: Characters | None = None
    """The same for 6-grams of words: most characters in those that occurred before, per character of text."""
    max_duplicate_7gram: Characters | None = None
    """The same for 7-grams of words: most characters in those that occurred before, per character of text."""
    max_duplicate_8gram: Characters | None = None
    """The same for 8-grams of words: most characters in those that occurred before, per character of text."""
    max_duplicate_9gram: Characters | None = None
    """The same for 9-grams of words: most characters in those that occurred before, per character of text."""
    max_duplicate_10gram: Characters | None = None
    """The same for 10-grams of words: most characters in those that occurred before, per character of text."""

    # Gopher, quality.
    min_words: Count | None = None
    """Fewest words. Words that are all symbols do not count."""
    max_words: Count | None = None
    """Most words. Words that are all symbols do not count."""
    min_mean_word_characters: Ratio | None = None
    """Lowest mean of characters per word, over words that are not all symbols."""
    max_mean_word_characters: Ratio | None = None
    """Highest mean of characters per word, over words that are not all symbols."""
    max_hashes_per_word: Ratio | None = None
    """Most hash signs per word, over all words."""
    max_ellipses_per_word: Ratio | None = None
    """Most ellipses per word, over all words."""
    max_bullet_lines: Fraction | None = None
    """Highest share of lines that begin with a bullet."""
    max_ellipsis_lines: Fraction | None = None
    """Highest share of lines that end in an ellipsis."""
    min_alphabetic_words: Fraction | None = None
    """Lowest share of words with a letter."""
    min_stop_words: Count | None = None
    """Fewest different stop words, of eight English ones."""

    # C4, lines. These rules remove lines, or parts of them. The rules further below judge what is left.
    max_line_word_characters: Count | None = None
    """Remove a line with a longer word than this many characters."""
    min_line_words: Count | None = None
    """Remove a line with fewer words."""
    terminal_punctuation: bool | None = None
    """Remove a line that does not end a sentence."""
    no_javascript: bool | None = None
    """Remove a line that mentions JavaScript."""
    no_policy: bool | None = None
    """Remove a line with one of six phrases about cookies, privacy and terms of use."""
    no_citations: bool | None = None
    """Remove marks such as [1], [edit] and [citation needed] from lines."""

    # C4, pages.
    max_lorem_ipsum_lines: Count | None = None
    """Most lines with "lorem ipsum"."""
    max_curly_bracket_lines: Count | None = None
    """Most lines with a curly bracket."""
    min_sentences: Count | None = None
    """Fewest sentences in the lines that are left."""

    # FineWeb. Shares of the lines that are not blank.
    min_punctuated_lines: Fraction | None = None
    """Lowest share of lines that end in terminal punctuation of any script."""
    max_short_lines: Fraction | None = None
    """Highest share of lines of at most 30 characters."""
    max_duplicate_characters: Fraction | None = None
    """Highest share of characters in lines that repeat an earlier one."""
    max_newlines_per_word: Ratio | None = None
    """Most newlines per word."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in (("min_words", "max_words"), ("min_mean_word_characters", "max_mean_word_characters")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} = {least} is above {high} = {most}: no document could pass")
        return self


class QualityModel(Section):
    """A fastText classifier that judges documents by the probability of one label. Set exactly one of `min`, `max`,
    `keep_fraction`.
    """

    path: Annotated[str, About(example="edu.bin")]
    """Path of the model's file (.bin or .ftz)."""
    label: str = "__label__positive"
    """The label whose probability is the score. The prefix `__label__` may be left out."""
    min: Probability | None = None
    """Drop a document with a lower probability (0 to 1)."""
    max: Probability | None = None
    """Drop a document with a higher probability (0 to 1)."""
    keep_fraction: Annotated[float, Field(gt=0, le=1), About(unit="share", example=0.1)] | None = None
    """Keep only this share (0 to 1) of the documents that pass everything else: those with the highest probabilities."""

    @field_validator("label")
    @classmethod
    def _long_form(cls, label: str) -> str:
        return label if label.startswith("__label__") else f"__label__{label}"

    @model_validator(mode="after")
    def _one_way_to_decide(self) -> Self:
        ways = {"min": self.min, "max": self.max, "keep_fraction": self.keep_fraction}
        given = [f"{name} = {value}" for name, value in ways.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of min, max and keep_fraction; given: {', '.join(given) or 'none'}")
        return self


class QualityConfig(Thresholds):
    """A named, versioned recipe, and thresholds that replace single ones of the recipe.

    To switch off a rule, set a threshold that every document passes: 0 for a minimum, 1 for the maximum of a share.
    """

    recipe: str = "gopher@1"
    """The recipe whose thresholds apply: gopher@1, c4@1, fineweb@1, dclm@1 or docs@1."""
    models: Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], QualityModel] = {}
    """Classifiers by name, in addition to the recipe. The name is part of the score's column and of the drop reason:
    `model_<name>`."""

    def rankings(self) -> Mapping[str, str]:
        """The models whose higher scores are better: those without `max`."""
        return {name: column(name) for name, model in self.models.items() if model.max is None}
