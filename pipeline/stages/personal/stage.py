"""The stage `personal`: scores count what it finds, edits mask or remove it.

Purpose: texts keep no personal data, and the documents stay. Two thresholds, both off, drop documents that hold much of it.
Guarantee: no table holds a value: spans and counts, and with a key a pseudonym, which nobody can compute without the key.
Another threshold reads no text.
Cost: see `search`; 8 bytes a document and kind, 12 bytes a value.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.kernels.text import buffers
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.personal import criteria, pseudonyms
from tokenmill.pipeline.stages.personal.search import PersonalValue, findings, sought
from tokenmill.pipeline.stages.personal.settings import ID, KINDS, PersonalConfig

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


@dataclass(frozen=True, kw_only=True)
class Personal:
    """The stage for `config`."""

    config: PersonalConfig
    key: bytes | None = field(default=None, repr=False)
    """The key for pseudonyms, if the settings name one and it is there."""
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
        """Replacements are among them, so that nobody takes a text with other replacements for the same text.

        Raises ConfigError if the key is not there.
        """
        if self.config.key_from and self.key is None:
            raise ConfigError(f"personal: the key of {self.config.key_from} cannot be read; the same key is needed again")
        asked = sought(self.config)
        return {
            "kinds": list(asked.kinds),
            "public_only": asked.public_only,
            "countries": list(asked.countries),
            "replacements": {kind: self.config.replacement(kind, ID if self.key else None) for kind in asked.kinds},
            "key": None if self.key is None else pseudonyms.fingerprint(self.key),
        }

    @property
    def deciding(self) -> Mapping[str, Any]:
        return {"max_found": self.config.max_found, "max_share": self.config.max_share}

    def limits(self, cuts: Mapping[str, float]) -> list[tuple[str, Limit]]:
        """The two thresholds, where they are on. See `pipeline.stages.protocols.Limited`."""
        return criteria.limits(self.config.max_found, self.config.max_share)

    def prepare(self) -> None:
        """Compile the kernel."""
        findings(pa.array([""], pa.large_string()), sought(self.config))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What is found in each text."""
        texts = batch["text"]
        rows = findings(texts, sought(self.config))
        sizes = np.diff(buffers.utf8(texts)[1])
        taken = np.zeros(len(rows), dtype=np.int64)
        counts = {kind: np.zeros(len(rows), dtype=np.int32) for kind in self.config.looked_for}
        for row, values in enumerate(rows):
            for one in values:
                counts[one.kind][row] += 1
                taken[row] += one.end - one.start
        columns: dict[str, Any] = {
            "bytes": sizes,
            "found": np.array(list(map(len, rows)), dtype=np.int32),
            "share": taken / np.maximum(sizes, 1),
            **counts,
            "spans": [[self._span(one) for one in row] for row in rows],
        }
        return pa.record_batch([pa.array(columns[one.name], one.type) for one in self.scores], schema=self.scores)

    def _span(self, one: PersonalValue) -> tuple[int, int, int, str | None]:
        named = None if self.key is None else pseudonyms.pseudonym(self.key, one.kind, one.value)
        return one.start, one.end, KINDS.index(one.kind), named

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
