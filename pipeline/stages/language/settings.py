"""The section `language`.

Guarantee: settings that contradict one another are refused when the value is made. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import About, Section


class LanguageConfig(Section):
    """Which languages are kept, and how sure the model must be."""

    model: Annotated[str | None, About(example="lid.176.bin")] = None
    """Path of a fastText model (lid.176, OpenLID, GlotLID). Default: py3langid's model, which comes with the package."""
    keep: Annotated[tuple[str, ...], About(example=("en",))] = ()
    """Languages to keep, as the model labels them; `und` stands for texts without a letter, and for those whose label is
    doubted (`check_script`, `second`). Empty: keep all languages, and `und`."""
    threshold: Annotated[float, About(unit="score")] = Field(default=0.5, ge=0, le=1)
    """Drop a document with a lower score (0 to 1), whatever `keep` says. 0 drops none. Choose it together with
    `sample_characters`."""
    thresholds: Annotated[Mapping[str, Annotated[float, Field(ge=0, le=1)]], About(example={"en": 0.65})] = {}
    """Thresholds of single languages. They replace `threshold` for these languages."""
    sample_characters: int = Field(default=1_000, ge=0)
    """The model reads at most this many characters of a document (at least 50), from five places. 0: it reads the whole
    document."""
    judged_bytes: int = Field(default=0, ge=0)
    """Judge single lines of a document, about this many bytes of them at most, for `other_language` and `other_share`. At
    least 150; 0: judge none."""
    max_other_share: float = Field(default=1.0, ge=0, le=1)
    """Drop a document if a larger share of its judged lines (by bytes, 0 to 1) is in other languages. 1 drops none."""

    check_script: bool = True
    """Label a document `und` if its script is none that its language is written in, such as Dhivehi, which py3langid calls
    Korean."""
    second: Annotated[str | None, About(example="cld2")] = None
    """A second opinion: "cld2" (`pip install 'tokenmill[cld2]'`), or the path of a fastText model (lid.176, OpenLID, GlotLID).
    A document becomes `und` if it names a language that `model` does not have, and if it does not confirm the label of a text
    that is not typical of the language (`min_fit`)."""
    second_threshold: Annotated[float, About(unit="score")] = Field(default=0.5, ge=0, le=1)
    """A second opinion with a lower score (0 to 1) names no language. A score of CLD2's is the share of the text that is in
    that language."""
    min_fit: Annotated[float, About(unit="standard deviations")] = -1.0
    """A label that the second opinion does not confirm stands from this fit on. The fit says how typical of py3langid's
    language the text is; 99 % of texts reach -1.6. Long texts bear a stricter value: with 100, both must agree. fastText models
    have no fit: if one is `model`, a second opinion that names another language makes `und`."""
    close: Annotated[tuple[tuple[str, ...], ...], About(example=(("hr", "sr", "bs"), ("id", "ms")))] = ()
    """Groups of close languages that count as one, by the first label of each: for `keep`, for the label in the end, and for
    whether two opinions agree."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.sample_characters < 50:
            raise ValueError(f"sample_characters = {self.sample_characters} is too few to tell languages by; at least 50, or 0")
        if 0 < self.judged_bytes < 150:
            raise ValueError(f"judged_bytes = {self.judged_bytes} is less than one line can have; at least 150, or 0")
        if self.max_other_share < 1 and not self.judged_bytes:
            raise ValueError(f"max_other_share = {self.max_other_share} needs judged_bytes above 0; 2000 is a good value")
        grouped = [label for group in self.close for label in group]
        if len(set(grouped)) < len(grouped) or any(len(group) < 2 for group in self.close):
            raise ValueError(
                f"close = {[*map(list, self.close)]}: a group has two languages or more, and a language is in one group"
            )
        return self
