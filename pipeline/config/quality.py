"""The section `quality`: a recipe, the thresholds beside it, and the models.

Guarantee: no threshold is below what contradicts it; a model decides in exactly one way. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from tokenmill.pipeline.config.section import Section

Fraction = Annotated[float, Field(ge=0, le=1)]
Ratio = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]


def column(name: str) -> str:
    """The score column of the model of that name, which is also the reason of what it drops."""
    return f"model_{name}"


class Thresholds(Section):
    """The thresholds of the quality rules; None: the rule is off (in a recipe), or as the recipe has it (beside one).

    A document that is at a threshold passes. Characters are code points, words those of `pipeline.kernels.words.split`.
    """

    # Gopher, repetition: shares of the whole text's lines, paragraphs or characters.
    max_duplicate_paragraphs: Fraction | None = None
    max_duplicate_paragraph_characters: Fraction | None = None
    max_duplicate_lines: Fraction | None = None
    max_duplicate_line_characters: Fraction | None = None
    max_top_2gram: Ratio | None = None
    """Characters of the most frequent pair of words, times its count, per character of text. Likewise below."""
    max_top_3gram: Ratio | None = None
    max_top_4gram: Ratio | None = None
    max_duplicate_5gram: Ratio | None = None
    """Characters in 5-grams that occurred before, counted without overlap, per character of text. Likewise below."""
    max_duplicate_6gram: Ratio | None = None
    max_duplicate_7gram: Ratio | None = None
    max_duplicate_8gram: Ratio | None = None
    max_duplicate_9gram: Ratio | None = None
    max_duplicate_10gram: Ratio | None = None

    # Gopher, quality.
    min_words: Count | None = None
    """Of words that are not all symbols."""
    max_words: Count | None = None
    min_mean_word_characters: Ratio | None = None
    max_mean_word_characters: Ratio | None = None
    max_hashes_per_word: Ratio | None = None
    max_ellipses_per_word: Ratio | None = None
    max_bullet_lines: Fraction | None = None
    max_ellipsis_lines: Fraction | None = None
    min_alphabetic_words: Fraction | None = None
    """The share of words with a letter."""
    min_stop_words: Count | None = None
    """How many different ones of eight English stop words occur."""

    # C4, lines: these remove lines, or parts of them, and what follows judges what is left.
    max_line_word_characters: Count | None = None
    """A line with a longer word is removed."""
    min_line_words: Count | None = None
    """A line with fewer words is removed."""
    terminal_punctuation: bool | None = None
    """A line that does not end a sentence is removed."""
    no_javascript: bool | None = None
    """A line that says so is removed."""
    no_policy: bool | None = None
    """A line with one of six phrases on cookies, privacy and terms of use is removed."""
    no_citations: bool | None = None
    """Marks such as [1], [edit] and [citation needed] are removed from lines."""

    # C4, pages.
    max_lorem_ipsum_lines: Count | None = None
    max_curly_bracket_lines: Count | None = None
    min_sentences: Count | None = None

    # FineWeb: of lines that are not blank.
    min_punctuated_lines: Fraction | None = None
    """The share of lines that end in terminal punctuation of any script."""
    max_short_lines: Fraction | None = None
    """The share of lines of at most 30 characters."""
    max_duplicate_characters: Fraction | None = None
    """The share of characters in lines that occurred before."""
    max_newlines_per_word: Ratio | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for low, high in (("min_words", "max_words"), ("min_mean_word_characters", "max_mean_word_characters")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} = {least} is above {high} = {most}: no document could pass")
        return self


class QualityModel(Section):
    """A fastText classifier that judges documents by the probability of one label. Exactly one of the last three is set."""

    path: str
    label: str = "__label__positive"
    """May be given without `__label__`."""
    min: Fraction | None = None
    """A document with a lower probability is dropped."""
    max: Fraction | None = None
    """A document with a higher probability is dropped."""
    keep_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of the documents that pass everything else, this share with the highest probabilities is kept."""

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
    """A named, versioned recipe; a threshold that is set beside it takes the place of the recipe's.

    A rule is switched off by a threshold that every document passes: 0 for a minimum, 1 for the maximum of a share.
    """

    recipe: str = "gopher@1"
    models: Mapping[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], QualityModel] = {}
    """Classifiers by name, beside the recipe. A name is part of the score's column and of the reason: `model_<name>`."""

    def rankings(self) -> Mapping[str, str]:
        """The models whose higher scores are better: those without `max`."""
        return {name: column(name) for name, model in self.models.items() if model.max is None}
