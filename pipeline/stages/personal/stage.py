"""The stage `personal`: scores count what it finds, edits mask or remove it.

Purpose: texts keep no personal data, and the documents stay. Two thresholds, both off, drop documents that hold much of it.
Guarantee: no table holds a value: spans and counts, and with a key a pseudonym, which nobody can compute without the key.
Another threshold reads no text.
Cost: see `search`; 8 bytes a document and kind, 12 bytes a value.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.kernels.text import buffers
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.personal.search import findings, sought
from tokenmill.pipeline.stages.personal.settings import KINDS, PersonalConfig

SPANS = pa.field(
    "spans",
    pa.list_(
        pa.struct(
            [
                pa.field("start", pa.int64(), nullable=False),
                pa.field("end", pa.int64(), nullable=False),
                pa.field("kind", pa.int8(), nullable=False),
                pa.field("pseudonym", pa.string()),
            ]
        )
    ),
)
"""Values in bytes of the text that the stage saw. `kind`: a place in `KINDS`."""
TOO_MANY, TOO_MUCH = "too_many_personal_values", "too_much_personal_data"


@dataclass(frozen=True, kw_only=True)
class Personal:
    """The stage for `config`."""

    config: PersonalConfig
    name: ClassVar[str] = "personal"
    version: ClassVar[int] = 1

    @property
    def scores(self) -> pa.Schema:
        """`bytes` of the text, `found` values, their `share` of the bytes, how many of each kind, and where they stand."""
        counts = [pa.field(kind, pa.int32()) for kind in self.config.looked_for]
        numbers = [pa.field("bytes", pa.int64()), pa.field("found", pa.int32()), pa.field("share", pa.float64())]
        return pa.schema([*numbers, *counts, SPANS])

    @property
    def scoring(self) -> Mapping[str, Any]:
        """Replacements are among them, so that nobody takes a text with other replacements for the same text."""
        asked = sought(self.config)
        return {
            "kinds": list(asked.kinds),
            "public_only": asked.public_only,
            "countries": list(asked.countries),
            "replacements": {kind: self.config.replacement(kind) for kind in asked.kinds},
        }

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {"max_found": self.config.max_found, "max_share": self.config.max_share}

    def limits(self, cuts: Mapping[str, float]) -> list[tuple[str, Limit]]:
        """The two thresholds, where they are on. See `pipeline.stages.protocols.Limited`."""
        found = []
        if self.config.max_found is not None:
            found.append((TOO_MANY, Limit(column="found", setting="max_found", threshold=self.config.max_found)))
        if self.config.max_share < 1:
            found.append((TOO_MUCH, Limit(column="share", setting="max_share", threshold=self.config.max_share)))
        return found

    def prepare(self) -> None:
        """Compile the kernel."""
        findings(pa.array([""], pa.large_string()), sought(self.config))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What is found in each text."""
        texts = batch["text"]
        rows = findings(texts, sought(self.config))
        sizes = np.diff(buffers.utf8(texts)[1])
        taken = np.array([sum(one.end - one.start for one in row) for row in rows], dtype=np.int64)
        columns = {
            "bytes": sizes,
            "found": np.array([len(row) for row in rows], dtype=np.int32),
            "share": taken / np.maximum(sizes, 1),
            **{
                kind: np.array([sum(one.kind == kind for one in row) for row in rows], dtype=np.int32)
                for kind in self.config.looked_for
            },
            "spans": [[(one.start, one.end, KINDS.index(one.kind), None) for one in row] for row in rows],
        }
        return pa.record_batch([pa.array(columns[one.name], one.type) for one in self.scores], schema=self.scores)

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        """The reason of the first threshold that a row exceeds."""
        reasons = np.full(scores.num_rows, schema.KEPT, dtype=object)
        for reason, limit in reversed(self.limits({})):
            reasons[limit.fails(scores[limit.column].to_numpy().astype(np.float64))] = reason
        return pa.record_batch({"reason": schema.reasons(reasons)})

    def edits(self, scores: pa.RecordBatch, verdict: pa.RecordBatch) -> list[list[tuple[int, int, str]]]:
        """Each value with what stands in its place."""
        spans = scores["spans"]
        parts = [part.to_pylist() for part in spans.flatten().flatten()]
        edits = [
            (start, end, self.config.replacement(KINDS[kind], pseudonym))
            for start, end, kind, pseudonym in zip(*parts, strict=True)
        ]
        bounds = itertools.accumulate(spans.value_lengths().to_pylist(), initial=0)
        return [edits[begin:end] for begin, end in itertools.pairwise(bounds)]
