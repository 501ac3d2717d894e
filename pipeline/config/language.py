"""The section `language`.

Guarantee: settings that contradict one another are refused when the value is made. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import Section


class LanguageConfig(Section):
    """Which languages are kept, and how sure the model must be."""

    model: str | None = None
    """Path of a fastText model (lid.176, OpenLID, GlotLID); none: py3langid's, which comes with the package."""
    keep: tuple[str, ...] = ()
    """Labels as the model gives them, and `und` for texts without a letter; empty: all."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """A document with a lower score is dropped, whatever `keep` says; 0 drops none. Choose it with `sample_characters`."""
    thresholds: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = {}
    """Thresholds of single languages, before `threshold`."""
    sample_characters: int = Field(default=1_000, ge=0)
    """The model reads at most so many characters of a document, at least 50, from five places; 0: all of them."""
    judged_bytes: int = Field(default=0, ge=0)
    """So many bytes of a document's lines, at most, are judged one by one, for `other_language` and `other_share`; 0: none."""
    max_other_share: float = Field(default=1.0, ge=0, le=1)
    """A document with a larger share of its judged lines in other languages is dropped; 1 drops none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.sample_characters < 50:
            raise ValueError(f"sample_characters = {self.sample_characters} is too few to tell languages by; from 50 on, or 0")
        if 0 < self.judged_bytes < 150:
            raise ValueError(f"judged_bytes = {self.judged_bytes} is less than one line may have; from 150 on, or 0")
        if self.max_other_share < 1 and not self.judged_bytes:
            raise ValueError(f"max_other_share = {self.max_other_share} needs judged_bytes above 0; 2000 is a good value")
        return self
