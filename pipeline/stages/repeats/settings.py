"""The section `repeats`: which lines or paragraphs are removed because many documents of a source contain them.

Guarantee: values are in bounds. Cost: none.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tokenmill.pipeline.config.section import About, Section


class RepeatsConfig(Section):
    """Which lines or paragraphs are removed because many documents of their source contain them."""

    unit: Literal["lines", "paragraphs"] = "lines"
    """What is compared and removed. Newlines separate lines, two or more newlines separate paragraphs. White space around a
    unit is ignored."""
    min_characters: int = Field(default=20, ge=1)
    """Units with fewer characters always stay, and so do units without a letter or a digit."""
    min_documents: int = Field(default=10, ge=2)
    """Remove a unit only if at least this many documents of its source contain it, and at least `min_share` of them."""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """Remove a unit only if at least this share (0 to 1) of the documents of its source contain it, and at least
    `min_documents`. Lower it for a source of many sites, each with its own menus."""
    keep_first: bool = True
    """The first document of a source that contains the unit keeps it. False: all documents lose it."""
    counts: Literal["exact", "bloom"] = "exact"
    """How units are counted: "exact" counts every unit on disk. "bloom" first sets rare units aside with a Bloom filter, so
    that less has to be counted on disk. Both remove the same units."""
    expected_units: int = Field(default=50_000_000, ge=1)
    """Used by "bloom": the number of different units of a source that the filter is sized for."""
    error_rate: Annotated[float, About(unit="share")] = Field(default=0.01, gt=0, lt=1)
    """Used by "bloom": the share of rare units (0 to 1) that pass the filter and are then counted exactly."""
