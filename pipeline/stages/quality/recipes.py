"""Recipes: named, versioned, frozen sets of thresholds.

Purpose: "Gopher" or "FineWeb" means the same documents here today and in a year. Published reproductions drift, so a recipe is
never edited: a change is a new version beside the old one.
Guarantee: golden vectors test each threshold of each recipe from both sides.
Cost: none.

Sources: Gopher, Rae et al. 2021 (arXiv 2112.11446), section A1.1 and table A1; C4, Raffel et al. 2020 (JMLR 21/140), section
2.2, with the two line rules of its code; FineWeb, Penedo et al. 2024 (arXiv 2406.17557), section 3; DCLM, Li et al. 2024
(arXiv 2406.11794), section 4, and the published settings of its RefinedWeb step. Where a paper is silent (boundaries,
denominators, the order of C4's rules), the recipes follow the filters of datatrove 0.10.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.stages.quality.settings import QualityConfig, Thresholds

_REPEATED_LINES: Mapping[str, Any] = {
    "max_duplicate_paragraphs": 0.30,
    "max_duplicate_paragraph_characters": 0.20,
    "max_duplicate_lines": 0.30,
    "max_duplicate_line_characters": 0.20,
}
_REPEATED_NGRAMS: Mapping[str, Any] = {
    "max_top_2gram": 0.20,
    "max_top_3gram": 0.18,
    "max_top_4gram": 0.16,
    "max_duplicate_5gram": 0.15,
    "max_duplicate_6gram": 0.14,
    "max_duplicate_7gram": 0.13,
    "max_duplicate_8gram": 0.12,
    "max_duplicate_9gram": 0.11,
    "max_duplicate_10gram": 0.10,
}
_GOPHER_QUALITY: Mapping[str, Any] = {
    "min_words": 50,
    "max_words": 100_000,
    "min_mean_word_characters": 3.0,
    "max_mean_word_characters": 10.0,
    "max_hashes_per_word": 0.1,
    "max_ellipses_per_word": 0.1,
    "max_bullet_lines": 0.9,
    "max_ellipsis_lines": 0.3,
    "min_alphabetic_words": 0.8,
    "min_stop_words": 2,
}
_C4: Mapping[str, Any] = {
    "max_line_word_characters": 1_000,
    "min_line_words": 3,
    "terminal_punctuation": True,
    "no_javascript": True,
    "no_policy": True,
    "no_citations": True,
    "max_lorem_ipsum_lines": 0,
    "max_curly_bracket_lines": 0,
    "min_sentences": 5,
}
_FINEWEB_QUALITY: Mapping[str, Any] = {
    "min_punctuated_lines": 0.12,
    "max_short_lines": 0.67,
    "max_duplicate_characters": 0.01,
    "max_newlines_per_word": 0.3,
}

RECIPES: Mapping[str, Thresholds] = MappingProxyType(
    {
        "gopher@1": Thresholds(**_REPEATED_LINES, **_REPEATED_NGRAMS, **_GOPHER_QUALITY),
        "c4@1": Thresholds(**_C4),
        "fineweb@1": Thresholds(
            **_REPEATED_LINES,
            **_REPEATED_NGRAMS,
            **_GOPHER_QUALITY,
            **{**_C4, "terminal_punctuation": False},
            **_FINEWEB_QUALITY,
        ),
        # DCLM-baseline without its classifier. Add that as a model (the one of OH-2.5 and ELI5, `min = 0.018112`).
        # The thresholds are Gopher's. Not included: RefinedWeb's corrections of single lines, and lists of URLs. DCLM
        # counts occurrences of stop words; here different stop words are counted, as in Gopher.
        "dclm@1": Thresholds(**_REPEATED_LINES, **_REPEATED_NGRAMS, **_GOPHER_QUALITY),
        # For documentation. The web rules keep 3 % of it, because half of its lines are headings, signatures and code.
        "docs@1": Thresholds(
            **_REPEATED_LINES,
            **{**_GOPHER_QUALITY, "min_alphabetic_words": 0.6},
            **{**_FINEWEB_QUALITY, "min_punctuated_lines": 0.05, "max_short_lines": 0.9, "max_duplicate_characters": 0.1},
        ),
    }
)


def resolve(config: QualityConfig) -> Thresholds:
    """The recipe's thresholds, with those set in `config` replacing them. Raises ConfigError: unknown recipe, contradiction."""
    recipe = RECIPES.get(config.recipe)
    if recipe is None:
        raise ConfigError(f"quality.recipe: there is no recipe {config.recipe!r}; {spelling.hint(config.recipe, RECIPES)}")
    beside = {name: value for name, value in config if name in Thresholds.model_fields and value is not None}
    try:
        return Thresholds.model_validate({**dict(recipe), **beside})
    except ValidationError as error:
        faults = "; ".join(fault["msg"].removeprefix("Value error, ") for fault in error.errors())
        raise ConfigError(f"quality: {config.recipe} with {beside}: {faults}") from error
