"""What a stage says: how it scores rows, how it decides, and, if it does, what it edits, compares and chooses.

Guarantee: `stage` runs everything that fits these, and asks nothing else of them. Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.stages.limits import Limit


class Scorer(Protocol):
    """What every stage provides: it scores row by row. Implementations are frozen dataclasses, so they travel to workers."""

    @property
    def name(self) -> str:
        """The stage's name, which is also its folder below the corpus."""
        ...

    @property
    def version(self) -> int:
        """Increased whenever the meaning of the output changes."""
        ...

    @property
    def scores(self) -> pa.Schema:
        """The columns that the stage adds, without `doc_id`. The first is null exactly where a row was not scored.

        A column named `bytes` holds the size of the text in bytes.
        """
        ...

    @property
    def scoring(self) -> Mapping[str, Any]:
        """The settings that scores depend on, as JSON values. A model appears by the hash of its file, never by its path."""
        ...

    @property
    def deciding(self) -> Mapping[str, Any]:
        """The settings that only decisions depend on, as JSON values."""
        ...

    def prepare(self) -> None:
        """Load models and compile kernels. The parent calls it, and every worker calls it once."""
        ...

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Columns of `scores` for a batch of rows alive, given as `doc_id` and `text` (edits applied), or, of a `Reader`, with
        the columns that it names. Pure, row-aligned."""
        ...


class Stage(Scorer, Protocol):
    """A stage that also decides row by row. A stage that needs all shards to decide is a `pipeline.stages.step.Resolver`."""

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """`reason`, and the columns that explain it, from the scores. Cheap and replayable."""
        ...


@runtime_checkable
class Reader(Protocol):
    """A stage that scores other columns of documents than the text, or more."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that `score` needs. Without "text", no text is made."""
        ...


@runtime_checkable
class Editor(Protocol):
    """A stage that also removes parts of the text it keeps."""

    def edits(self, scores: pa.RecordBatch, verdict: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        """For each row alive: (start, end, replacement), in bytes of the text that `score` saw."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A stage whose decisions compare scores with thresholds, so that `whatif` and `trace` can show by how much."""

    def limits(self, cuts: Mapping[str, float]) -> list[tuple[str, Limit]]:
        """Reasons with what they compare, in the order of the rules; a reason may come more than once.

        cuts: by score column, the lowest score that a `Chooser` kept.
        """
        ...


@runtime_checkable
class Chooser(Protocol):
    """A stage that, after `decide`, chooses among all rows that pass: its verdicts need all shards."""

    @property
    def choosing(self) -> tuple[str, ...]:
        """The score columns that it chooses by."""
        ...

    def choose(self, passing: Sequence[pa.Table]) -> tuple[list[npt.NDArray[np.object_]], Mapping[str, Any]]:
        """For each shard's rows that pass `decide` (`doc_id` and `choosing`) their reasons, and facts for the manifest."""
        ...

    def cuts(self, facts: Mapping[str, Any]) -> dict[str, float]:
        """By score column, the lowest score that was kept, from the facts of `choose`."""
        ...


@runtime_checkable
class LateEditor(Chooser, Editor, Protocol):
    """A `Chooser` whose settings decide what it removes from the texts that it keeps."""

    def changed(self, before: Any, passing: Sequence[pa.Table]) -> list[npt.NDArray[np.bool_]]:
        """For each shard's rows as `choose` gets them, those of which the stage `before` removed something else. bool [rows]"""
        ...


def limits_of(stage: object, facts: Mapping[str, Any]) -> list[tuple[str, Limit]]:
    """What a stage compared, with the cuts that the `facts` of its manifest tell; nothing if it compares no thresholds."""
    if not isinstance(stage, Limited):
        return []
    return stage.limits(stage.cuts(facts) if isinstance(stage, Chooser) else {})
