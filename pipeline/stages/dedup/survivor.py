"""Keys of survivor order that are not in the signatures: quality scores and dates, read if the survivor policy names them.

Guarantee: a changed score or date changes the manifests before this stage, so the order is computed anew. A document without a
score is an error. A document without a readable date comes last and is counted.
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

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.stages.stage import name_of
from tokenmill.pipeline.stages.step import Work

Keys = Mapping[str, npt.NDArray[np.generic]]
"""For each criterion, by name, a number per document. The document with the lower number comes first."""

UNDATED = np.iinfo(np.int64).max
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REDUCED = re.compile(r"\d{4}(?:-\d{2})?")
"""A year, or a year and a month, as WARC 1.1 allows. They stand for their first day."""


@dataclass(frozen=True, kw_only=True)
class _Scores:
    view: View
    named: Named
    column: str


def keys(policy: Sequence[str], quality: str | None, views: Sequence[View], work: Work) -> Keys:
    """The keys of "quality" and "date" that `policy` names, [documents] each, for all rows alive in `views`.

    quality: the score column of the stage `quality`, which ran earlier. Raises ConfigError, CorruptFile, Misaligned.
    """
    found: dict[str, npt.NDArray[np.generic]] = {}
    if "quality" in policy:
        if quality is None:
            raise ConfigError(f"dedup.survivor = {list(policy)} names quality, but no stage before it scores quality")
        files = {shard.name: shard.files for shard in work.manifest("quality").shards}
        names = {view.name: name_of("quality", "scores", view.name) for view in views}
        tasks = [
            _Scores(view=view, named=(names[view.name], files[view.name][names[view.name]]), column=quality) for view in views
        ]
        found["quality"] = np.concatenate([np.empty(0), *work.executor.map(_lowered_scores, tasks)])
    if "date" in policy:
        found["date"] = np.concatenate([np.empty(0, np.int64), *work.executor.map(_ages, list(views))])
    return found


def facts(keys: Keys) -> dict[str, int]:
    """Facts about the keys: how many documents have no date, if the policy asks for dates."""
    return {"undated_documents": int((keys["date"] == UNDATED).sum())} if "date" in keys else {}


def _lowered_scores(task: _Scores) -> npt.NDArray[np.float64]:
    """The scores of the rows alive, negated, so that a higher score comes earlier."""
    alive = task.view.read(["doc_id"])
    table = shards.read(task.view.root, task.named, ["doc_id", task.column]).take(alive.rows)
    shards.align(task.view.documents, alive.table["doc_id"], task.named, table["doc_id"])
    scores = table[task.column]
    if scores.null_count:
        raise CorruptFile(f"{task.view.root / task.named[0]}: {scores.null_count} rows alive have no `{task.column}`")
    return -np.asarray(scores.to_numpy(), dtype=np.float64)


def _ages(view: View) -> npt.NDArray[np.int64]:
    """Microseconds from each date to 1970, so that a newer date comes earlier."""
    moments = map(moment, view.read(["metadata"]).table["metadata"].to_pylist())
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
