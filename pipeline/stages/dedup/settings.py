"""The section `dedup`: when two documents are duplicates, and which of them is kept.

Guarantee: contradicting settings are refused when the value is made. Cost: none.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tokenmill.pipeline.config.section import Section
from tokenmill.pipeline.stages.dedup.banding import Preset, Scheme, Shingle, scheme


class DedupConfig(Section):
    """When two documents are duplicates, and which of them is kept."""

    preset: Preset | None = None
    """Take n-grams, bands and rows from a published corpus: "fineweb", "dolma3" or "nemo". It excludes `shingle` to
    `permutations`. Default: those settings decide; where none of them is set, the result is "fineweb"."""
    shingle: Shingle | None = None
    """Unit of an n-gram: "words" or "characters". Default: "words"."""
    ngram: int | None = Field(default=None, ge=1, le=50)
    """Words or characters per n-gram. Default: 5 words or 24 characters. A shorter text has only exact duplicates."""
    bands: int | None = Field(default=None, ge=1, le=256)
    """Bands per signature. Documents that share a band are compared."""
    rows: int | None = Field(default=None, ge=1, le=256)
    """Rows (MinHash values) per band. Set both bands and rows, or neither. Default: 14 x 8, or chosen for `similarity`."""
    similarity: float | None = Field(default=None, gt=0, lt=1)
    """Choose bands and rows that best separate pairs below this Jaccard similarity from pairs above it. Default: not chosen."""
    recall: float | None = Field(default=None, gt=0, lt=1)
    """The chosen bands and rows find a pair at `similarity` with at least this probability. Default: no lower bound."""
    permutations: int | None = Field(default=None, ge=1, le=1024)
    """Upper bound of bands x rows, for the choice by `similarity`. Default: 128."""
    threshold: float = Field(default=0.8, gt=0, le=1)
    """A pair is a near duplicate when the Jaccard similarity of its n-gram sets is at least this."""
    survivor: tuple[Literal["source", "quality", "length", "date", "doc_id"], ...] = ("source", "length", "doc_id")
    """Which document of a pair is kept, the most important criterion first: "source" the earlier source, "quality" the higher
    score, "length" the longer text, "date" the newer date (undated documents come last), "doc_id" the lower id. Remaining ties
    go to the lower doc_id."""
    survivor_model: str | None = None
    """The model in `quality.models` whose scores "quality" means. Default: the only model without `max`; set it if there are
    several."""
    bucket_limit: int = Field(default=64, ge=2)
    """In a bucket (the documents that share a band) with more documents than this, not all pairs are compared. The report
    counts such buckets."""
    alarm_share: float = Field(default=0.5, ge=0, le=1)
    """If a source loses a larger share of its documents than this (0 to 1), the report, the status and the end of the build
    name it."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    """Seed of the hash functions behind signatures. With another seed all signatures are computed again."""

    @property
    def scheme(self) -> Scheme:
        """The n-grams, bands and rows that `preset` to `permutations` give."""
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
