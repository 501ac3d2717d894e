"""What is a duplicate: of documents, and of lines and paragraphs in many of them.

Guarantee: settings that contradict one another are refused when the value is made. Cost: none.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.banding import Preset, Scheme, Shingle, scheme
from tokenmill.pipeline.config.section import Section


class DedupConfig(Section):
    """When two documents are duplicates, and which of them stays."""

    preset: Preset | None = None
    """All that signatures are made of as a published corpus had it; none: "fineweb", with what is said below."""
    shingle: Shingle | None = None
    """What n-grams are made of: "words" (the default) or "characters"."""
    ngram: int | None = Field(default=None, ge=1, le=50)
    """Words or characters of an n-gram; 5 words or 24 characters by default."""
    bands: int | None = Field(default=None, ge=1, le=256)
    rows: int | None = Field(default=None, ge=1, le=256)
    """Given together; else chosen by the next three; else 14 bands of 8 rows."""
    similarity: float | None = Field(default=None, gt=0, lt=1)
    """Bands and rows are chosen to part pairs below it from those above."""
    recall: float | None = Field(default=None, gt=0, lt=1)
    """Those chosen find a pair at `similarity` with at least this probability."""
    permutations: int | None = Field(default=None, ge=1, le=1024)
    """Those chosen have a product of at most this; 128 by default."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """A pair is a duplicate when the Jaccard similarity of its n-gram sets reaches this."""
    survivor: tuple[Literal["source", "quality", "length", "date", "doc_id"], ...] = ("source", "length", "doc_id")
    """Who stays: the earlier source, the higher quality, the longer text, the newer date, the lower doc_id, in this order."""
    survivor_model: str | None = None
    """The model of `quality.models` whose scores are the quality; needed where several could be."""
    bucket_limit: int = Field(default=64, ge=2)
    """In a bucket of more documents, not all pairs are compared; how many buckets were, is reported."""
    alarm_share: float = Field(default=0.5, ge=0, le=1)
    """A source that loses a larger share of its documents is named in the report, in the status and when a build ends."""
    seed: int = Field(default=1, ge=0, lt=2**32)

    @property
    def scheme(self) -> Scheme:
        """What the settings before `threshold` come to."""
        return scheme(
            preset=self.preset,
            shingle=self.shingle,
            ngram=self.ngram,
            bands=self.bands,
            rows=self.rows,
            similarity=self.similarity,
            recall=self.recall,
            permutations=self.permutations,
        )

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.scheme
        if self.survivor_model is not None and "quality" not in self.survivor:
            raise ValueError(f'survivor_model = "{self.survivor_model}" needs "quality" in survivor')
        return self


class RepeatsConfig(Section):
    """Which lines or paragraphs are taken out of the documents of a source because they stand in many of them."""

    unit: Literal["lines", "paragraphs"] = "lines"
    """Lines are parted by newlines, paragraphs by two or more; white space around them does not count."""
    min_characters: int = Field(default=20, ge=1)
    """Shorter ones stay, and those without a letter or a digit."""
    min_documents: int = Field(default=10, ge=2)
    """What is taken out stands in at least so many documents of the source,"""
    min_share: float = Field(default=0.01, ge=0, le=1)
    """and in at least this share of them. Lower it for a source of many sites, each with its own menus."""
    keep_first: bool = True
    """The first document of the source that has it keeps it."""
    counts: Literal["exact", "bloom"] = "exact"
    """bloom: a Bloom filter sets aside first what is rare, so that less has to be counted on disk. The same is taken out."""
    expected_units: int = Field(default=50_000_000, ge=1)
    """The filter is made for so many different units of a source,"""
    error_rate: float = Field(default=0.01, gt=0, lt=1)
    """and lets this share of the rare ones pass, to be counted exactly."""
