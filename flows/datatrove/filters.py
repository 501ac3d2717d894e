"""Filters of datatrove's pipelines that judge by our stages `language` and `quality`.

Purpose: `filter_batch` is where datatrove lets a filter see many documents at once; a stage sees them as a column.
Guarantee: reasons are those of a build with the same settings. They stand in datatrove's statistics, as `dropped_<reason>`, and
in `filter_reason` of what an exclusion writer gets. A text with half of a surrogate pair is dropped as `unpaired_surrogate`.
Cost: that of the stage, and a few microseconds a document for the documents themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.writers.disk_base import DiskWriter

from tokenmill.flows.datatrove.columns import texts_of
from tokenmill.pipeline.base.edits import Edit, apply, merge
from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.config import given
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.quality import config_of

UNPAIRED = "unpaired_surrogate"
Verdict = bool | tuple[bool, str]
"""What datatrove asks of a filter for each document: True, or False with the reason."""


class LanguageFilter(BaseFilter):
    """Keep documents in some languages. Metadata get `language` and `language_score`, as by datatrove's filter.

    Parameters
    ----------
    languages
        Labels of the languages to keep, such as "en"; None for all of them.
    settings
        Other settings of the section `language`, as `{"threshold": 0.65}`. `tokenmill config explain language` describes them.
    exclusion_writer
        A writer of datatrove's for what is dropped, with `filter_reason` in its metadata.
    label_only
        Drop nothing, and write the reason to `language_reason` in the metadata ("" passes).
    batch_size
        Documents that are judged at once.

    Raises
    ------
    ConfigError
        There is no such language or setting.
    InputError
        The model's file is no model.
    """

    name = "tokenmill: language"

    def __init__(
        self,
        languages: Sequence[str] | str | None = None,
        settings: Mapping[str, Any] | None = None,
        exclusion_writer: DiskWriter | None = None,
        label_only: bool = False,
        batch_size: int = 1_000,
    ) -> None:
        super().__init__(exclusion_writer, batch_size)
        keep = [languages] if isinstance(languages, str) else list(languages or ())
        self.stage = Language(config=given(LanguageConfig, {**(settings or {}), "keep": keep}, "language"))
        self.label_only = label_only
        self.stage.prepare()

    def filter(self, doc: Document) -> Verdict:
        """The verdict on one document."""
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[Document]) -> list[Verdict]:
        """The verdicts on a batch, with labels and scores in the metadata."""
        scores, reasons = _judged(self.stage, batch)
        labels = self.stage.decide(scores)["language"]
        for document, label, score in zip(batch, labels, scores["language_score"], strict=True):
            document.metadata |= {"language": label.as_py(), "language_score": score.as_py()}
        return _verdicts(self.stage, batch, reasons, self.label_only)


class QualityFilter(BaseFilter):
    """Judge documents by a recipe of quality rules. Where a recipe removes lines, kept documents lose them.

    Parameters
    ----------
    recipe
        `gopher@1`, `c4@1`, `fineweb@1`, `dclm@1` or `docs@1`.
    settings
        Thresholds beside the recipe, as `{"min_words": 80}`.
    exclusion_writer
        A writer of datatrove's for what is dropped, with `filter_reason` in its metadata.
    label_only
        Drop nothing and remove no lines; write the reason to `quality_reason` in the metadata ("" passes).
    batch_size
        Documents that are judged at once.

    Raises
    ------
    ConfigError
        There is no such recipe or threshold; the nearest one is named.
    """

    name = "tokenmill: quality"

    def __init__(
        self,
        recipe: str = "gopher@1",
        settings: Mapping[str, Any] | None = None,
        exclusion_writer: DiskWriter | None = None,
        label_only: bool = False,
        batch_size: int = 1_000,
    ) -> None:
        super().__init__(exclusion_writer, batch_size)
        self.stage = Quality(config=config_of(recipe, settings or {}))
        self.label_only = label_only
        self.stage.prepare()

    def filter(self, doc: Document) -> Verdict:
        """The verdict on one document."""
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[Document]) -> list[Verdict]:
        """The verdicts on a batch. Kept documents lose what the line rules remove."""
        scores, reasons = _judged(self.stage, batch)
        if not self.label_only and self.stage.lines is not None:
            for document, reason, spans in zip(batch, reasons, self.stage.edits(scores, scores), strict=True):
                if spans and reason == KEPT:
                    edits = merge(Edit(start, end, text.encode()) for start, end, text in spans)
                    document.text = apply(document.text.encode(), edits).decode()
        return _verdicts(self.stage, batch, reasons, self.label_only)


def _judged(stage: Stage, batch: Sequence[Document]) -> tuple[pa.RecordBatch, list[str]]:
    """The scores of a batch, and the reason of each document."""
    texts, unpaired = texts_of(batch)
    scores = stage.score(pa.record_batch({"text": texts}))
    reasons = stage.decide(scores)["reason"].to_pylist()
    return scores, [UNPAIRED if broken else reason for broken, reason in zip(unpaired, reasons, strict=True)]


def _verdicts(stage: Stage, batch: Sequence[Document], reasons: Sequence[str], label_only: bool) -> list[Verdict]:
    if not label_only:
        return [True if reason == KEPT else (False, reason) for reason in reasons]
    for document, reason in zip(batch, reasons, strict=True):
        document.metadata[f"{stage.name}_reason"] = reason
    return [True] * len(batch)
