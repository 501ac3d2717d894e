"""Survivor order as columns of unsigned integers: source, quality, length, date and `doc_id`, as the policy names them.

Guarantee: a changed score or date changes the manifests before this stage, so the order is computed anew. A document without a
score is an error. A document without a readable date comes last and is counted. The order is total: `doc_id` ends it.
Cost: one read of the scores, or of the metadata (about 2.5 us per document), in workers; 8 bytes per document and criterion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.shards import Alive, Named, View
from tokenmill.pipeline.stages.dedup.signatures import integers
from tokenmill.pipeline.stages.stage import name_of
from tokenmill.pipeline.stages.step import Work

Column = npt.NDArray[np.uint64]
SIGN = np.uint64(1 << 63)
UNDATED = np.iinfo(np.int64).max
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REDUCED = re.compile(r"\d{4}(?:-\d{2})?")
"""A year, or a year and a month, as WARC 1.1 allows. They stand for their first day."""


@dataclass(frozen=True, kw_only=True)
class SurvivorCriterion:
    """One criterion of the survivor policy for the documents of one shard."""

    name: str
    """As the policy has it: "source", "quality", "length", "date" or "doc_id"."""
    priority: int = 0
    """Of "source": the position of the shard's source in the order of priority."""
    scores: Named | None = None
    """Of "quality": the shard's scores."""
    column: str = ""
    """Of "quality": the column of these scores."""


def criteria(
    policy: Sequence[str], quality: str | None, views: Sequence[View], sources: Sequence[str], work: Work
) -> list[tuple[SurvivorCriterion, ...]]:
    """For each shard what `policy` names, the most important first and "doc_id" last.

    quality: the score column of the stage `quality`, which ran earlier. Raises ConfigError.
    """
    for view in views:
        if view.source not in sources:
            known = ", ".join(sources)
            raise ConfigError(f"dedup: source {view.source!r} of shard {view.name} has no priority; known: {known}")
    names = list(dict.fromkeys((*policy, "doc_id")))
    names = names[: names.index("doc_id") + 1]
    files: Mapping[str, Mapping[str, FileEntry]] = {}
    if "quality" in names:
        if quality is None:
            raise ConfigError(f"dedup.survivor = {list(policy)} names quality, but no stage before it scores quality")
        files = {shard.name: shard.files for shard in work.manifest("quality").shards}

    def of(name: str, view: View) -> SurvivorCriterion:
        if name == "quality":
            scores = name_of("quality", "scores", view.name)
            return SurvivorCriterion(name=name, scores=(scores, files[view.name][scores]), column=quality or "")
        return SurvivorCriterion(name=name, priority=sources.index(view.source) if name == "source" else 0)

    return [tuple(of(name, view) for name in names) for view in views]


def width(criteria: Sequence[SurvivorCriterion]) -> int:
    """The number of columns that `keys` gives."""
    return len(criteria) + 1


def keys(criteria: Sequence[SurvivorCriterion], view: View, alive: Alive, signatures: pa.Table) -> tuple[list[Column], int]:
    """Columns that put the rows alive into survivor order, the most important first; and how many rows have no date.

    `alive`: with `metadata`, where a criterion is "date". `signatures`: the scores of the rows alive.
    """
    found: list[Column] = []
    undated = 0
    for one in criteria:
        if one.name == "source":
            found.append(np.full(len(alive.rows), one.priority, dtype=np.uint64))
        elif one.name == "length":
            found.append(~signatures["bytes"].to_numpy().astype(np.uint64))
        elif one.name == "quality":
            found.append(ascending(-_scores(one, view, alive)))
        elif one.name == "date":
            ages = _ages(alive)
            undated = int((ages == UNDATED).sum())
            found.append(ages.view(np.uint64) ^ SIGN)
        else:
            # In the order of their bytes.
            found += list(integers(signatures["doc_id"], 2).byteswap().T)
    return found, undated


def ascending(values: npt.NDArray[np.float64]) -> Column:
    """Unsigned integers in the order of the floats. NaN comes last, and -0.0 equals 0.0."""
    plain = np.where(np.isnan(values), np.nan, values + 0.0).view(np.uint64)
    return np.where(plain & SIGN, ~plain, plain | SIGN)


def _scores(one: SurvivorCriterion, view: View, alive: Alive) -> npt.NDArray[np.float64]:
    assert one.scores is not None
    table = shards.read(view.root, one.scores, ["doc_id", one.column]).take(alive.rows)
    shards.align(view.documents, alive.table["doc_id"], one.scores, table["doc_id"])
    scores = table[one.column]
    if scores.null_count:
        raise CorruptFile(f"{view.root / one.scores[0]}: {scores.null_count} rows alive have no `{one.column}`")
    return np.asarray(scores.to_numpy(), dtype=np.float64)


def _ages(alive: Alive) -> npt.NDArray[np.int64]:
    """Microseconds from each date to 1970, so that a newer date comes earlier."""
    moments = map(moment, alive.table["metadata"].to_pylist())
    return np.array([UNDATED if found is None else -found for found in moments], dtype=np.int64)


def moment(metadata: str) -> int | None:
    """The `date` in a document's metadata, else in its record's fields, in microseconds since 1970. None: no valid date.

    ISO 8601. Without an offset the date is in UTC, without a time it means midnight.
    """
    plain = json.loads(metadata)
    date = plain.get("date", (plain.get("fields") or {}).get("date"))
    if not isinstance(date, str):
        return None
    if REDUCED.fullmatch(date):
        date = f"{date}-01-01"[:10]
    try:
        found = datetime.fromisoformat(date)
    except ValueError:
        return None
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)
