"""Shows the documents that were chosen: where they come from, how they begin, and what each corpus measured of them.

Guarantee: the text of a document that either corpus forgot is not shown. Memory: one shard of text.
Cost: one read of each shard that holds a document shown, and of its scores and verdicts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.ask.diff.documents import ABSENT, Pair, PairedDocuments
from tokenmill.pipeline.ask.diff.rows import DocumentPlace
from tokenmill.pipeline.ask.fates import FORGOTTEN, Fate, forgotten_in
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import clip
from tokenmill.pipeline.corpus import CorpusFolder, CorpusShard
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.protocols import limits_of
from tokenmill.pipeline.stages.table import kind_of

PREVIEW_CHARACTERS = 300
"""Characters of the text that an answer holds."""
Told = dict[DocumentPlace, dict[str, Any]]


def shown(a: CorpusFolder, b: CorpusFolder, found: PairedDocuments) -> dict[Pair, list[dict[str, Any]]]:
    """The samples of each group as JSON values. Raises CorruptFile, Misaligned."""
    wanted: tuple[dict[DocumentPlace, Pair], dict[DocumentPlace, Pair]] = ({}, {})
    for pair, group in found.groups.items():
        for _, *places in group.picks:
            for side, place in zip(wanted, places, strict=True):
                if place is not None:
                    side[place] = pair
    told = _told(a, wanted[0]), _told(b, wanted[1])
    hidden = {*forgotten_in(a), *forgotten_in(b)}
    return {
        pair: [_sample(mine, theirs, told, hidden) for _, mine, theirs in group.picks] for pair, group in found.groups.items()
    }


def _sample(a: DocumentPlace | None, b: DocumentPlace | None, told: tuple[Told, Told], hidden: set[bytes]) -> dict[str, Any]:
    of_a, of_b = (told[0][a] if a else None), (told[1][b] if b else None)
    first = of_a or of_b
    assert first is not None
    hide = any(place is not None and place.doc_id in hidden for place in (a, b))
    changed = of_a is not None and of_b is not None and of_a["text"] != of_b["text"]
    return {
        "doc_id": first["doc_id"],
        "doc_id_in_b": of_b["doc_id"] if of_a and of_b and of_a["doc_id"] != of_b["doc_id"] else None,
        "source": first["source"],
        "url": None if hide else first["url"],
        "text": None if hide else first["text"],
        "text_in_b": of_b["text"] if changed and not hide and of_b is not None else None,
        "a": of_a and of_a["measured"],
        "b": of_b and of_b["measured"],
    }


def _told(corpus: CorpusFolder, wanted: Mapping[DocumentPlace, Pair]) -> Told:
    """What to say of each place, one shard at a time."""
    by_shard: dict[int, list[DocumentPlace]] = defaultdict(list)
    for place in wanted:
        by_shard[place.shard].append(place)
    found: Told = {}
    for number in sorted(by_shard):
        shard = corpus.shards[number]
        table = shards.read(corpus.published, shard.documents, ["doc_id", "source", "url", "text"])
        for place in by_shard[number]:
            row = _row(table, place.row)
            found[place] = {
                "doc_id": row["doc_id"].hex(),
                "source": row["source"],
                "url": corpus.censor.value(row["url"]),
                "text": clip(corpus.censor.text(row["text"]), PREVIEW_CHARACTERS),
                "measured": [],
            }
        # The table of text is not needed any more; those of a stage are small.
        del table
        for fate in sorted({fate for place in by_shard[number] for fate in wanted[place] if fate.stage}):
            places = [place for place in by_shard[number] if fate in wanted[place]]
            for place, measured in zip(places, _measured(corpus, shard, fate, places), strict=True):
                found[place]["measured"] += measured
    return found


def _measured(
    corpus: CorpusFolder, shard: CorpusShard, fate: Fate, places: list[DocumentPlace]
) -> Iterator[list[dict[str, Any]]]:
    """For each place, what this corpus measured at the stage of `fate`: what it compared for its reason, else its evidence."""
    made = corpus.step(fate.stage) if fate not in (ABSENT, FORGOTTEN) else None
    limits = [limit for reason, limit in _limits(corpus, made) if reason == fate.reason] if made is not None else []
    named = shard.tables.get((fate.stage, "scores" if limits else "verdicts")) if made is not None else None
    if named is None:
        yield from ([] for _ in places)
        return
    columns = {name for limit in limits for name in (limit.column, limit.label_column) if name is not None}
    table = shards.read(corpus.published, named, sorted(columns) or None)
    for place in places:
        row = _row(table, place.row)
        yield _compared(fate.stage, limits, row) if limits else _evidence(row, corpus.censor)


def _compared(stage: str, limits: Sequence[Limit], scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": limit.column,
            "value": scores[limit.column],
            "setting": f"{stage}.{limit.setting}",
            "threshold": limit.threshold,
            "passed": limit.passes(scores[limit.column]),
        }
        for limit in limits
        # A model that kept no document has no cut.
        if limit.concerns(scores) and not math.isnan(limit.threshold)
    ]


def _evidence(verdict: Mapping[str, Any], censor: Censor) -> list[dict[str, Any]]:
    """What a stage without thresholds says, such as the kept document that stands in for a duplicate."""
    return [
        {"name": name, "value": value.hex() if isinstance(value, bytes) else censor.value(value)}
        for name, value in verdict.items()
        if name not in ("doc_id", "reason") and isinstance(value, bytes | str | int | float)
    ]


def _limits(corpus: CorpusFolder, made: Manifest) -> list[tuple[str, Limit]]:
    """What a stage compared; nothing of an unfinished corpus, whose settings are not known."""
    if corpus.known_settings is None:
        return []
    return limits_of(kind_of(made.stage).make(corpus.known_settings), made.facts)


def _row(table: pa.Table, row: int) -> dict[str, Any]:
    found: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
    return found
