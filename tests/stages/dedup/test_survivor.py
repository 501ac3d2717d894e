"""Who stays: quality scores and dates as the survivor policy names them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.dedup.survivor import ascending, moment
from tokenmill.pipeline.stages.step import Done, StageStep, Work, perform

MakeCorpus = Callable[..., Work]
TEXTS = {"a/0": ["x y z", "x  y  z", "something else"], "b/0": ["x \t y z"]}
IDS = {shard: [schema.doc_id(shard[0], f"0:{row}") for row in range(len(rows))] for shard, rows in TEXTS.items()}
COPIES = [*IDS["a/0"][:2], *IDS["b/0"]]


def dedup(work: Work, *policy: str, quality: str | None = None) -> Done:
    config = DedupConfig(survivor=policy, exact="white_space")
    return perform(StageStep(Dedup(config=config, sources=("a", "b"), quality=quality)), work, downstream=())


def kept(work: Work, done: Done) -> bytes:
    """The one of the three copies that stays."""
    found = []
    for shard in done.manifest.shards:
        name = f"dedup/verdicts/{shard.name}.parquet"
        table = shards.read(work.root, (name, shard.files[name]))
        found += table["doc_id"].filter(pa.array(schema.alive(table["reason"]))).to_pylist()
    (only,) = [doc_id for doc_id in found if doc_id in COPIES]
    assert len(found) == 2
    return bytes(only)


def dated(work: Work, dates: Mapping[str, list[Any]]) -> Work:
    """The corpus with so many `date`s in the metadata."""
    (collected,) = work.before
    made = []
    for shard in collected.shards:
        name = f"documents/{shard.name}.parquet"
        table = shards.read(work.root, (name, shard.files[name]))
        column = pa.array([json.dumps({} if date is None else {"date": date}) for date in dates[shard.name]])
        at = table.schema.get_field_index("metadata")
        changed = table.set_column(at, table.schema.field(at), column)
        made.append(dataclasses.replace(shard, files={name: shards.write(work.root, name, changed)}))
    return dataclasses.replace(work, before=(dataclasses.replace(collected, shards=tuple(made)),))


def test_the_newer_date_stays(make_corpus: MakeCorpus) -> None:
    work = make_corpus(TEXTS)
    old, new, unknown = "2019-05-01T10:00:00Z", "2019-05-01T10:00:00.000001Z", "yesterday"
    for dates, expected, undated in (
        ({"a/0": [old, new, None], "b/0": [None]}, IDS["a/0"][1], 2),
        ({"a/0": [old, unknown, old], "b/0": [new]}, IDS["b/0"][0], 1),
        ({"a/0": [old, unknown, old], "b/0": ["2019-05-01T10:30:00+01:00"]}, IDS["a/0"][0], 1),
        ({"a/0": [None, 7, old], "b/0": [unknown]}, min(COPIES), 3),
    ):
        work = dated(work, dates)
        done = dedup(work, "date", "doc_id")
        assert kept(work, done) == expected
        assert done.manifest.facts["undated_documents"] == undated
    # What is not asked for is not read and not counted; what comes before it in the policy decides before it.
    assert "undated_documents" not in dedup(work, "source").manifest.facts
    work = dated(work, {"a/0": [old, old, None], "b/0": [new]})
    assert kept(work, dedup(work, "source", "date")) == min(IDS["a/0"][:2])


@dataclasses.dataclass(frozen=True)
class Scores:
    """A stage `quality` that keeps everything and gives the scores that it is told to."""

    by_id: Mapping[bytes, float | None]
    name: str = "quality"
    version: int = 1
    scores: pa.Schema = dataclasses.field(
        default_factory=lambda: pa.schema([pa.field("words", pa.int32()), pa.field("model_edu", pa.float64())])
    )
    deciding: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def scoring(self) -> dict[str, Any]:
        return {doc_id.hex(): score for doc_id, score in self.by_id.items()}

    def prepare(self) -> None: ...

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found = [self.by_id.get(doc_id, 0.25) for doc_id in batch["doc_id"].to_pylist()]
        return pa.RecordBatch.from_arrays(
            [pa.array([3] * len(found), pa.int32()), pa.array(found, pa.float64())], schema=self.scores
        )

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        reasons = ["low" if score == 0 else "" for score in scores["model_edu"].to_pylist()]
        return pa.RecordBatch.from_arrays([schema.reasons(reasons)], ["reason"])


def scored(work: Work, scores: Mapping[bytes, float | None]) -> Work:
    done = perform(StageStep(Scores(scores)), work, downstream=("dedup",))
    return dataclasses.replace(work, before=(work.before[0], done.manifest))


def test_the_higher_quality_stays_and_a_changed_score_decides_anew(make_corpus: MakeCorpus) -> None:
    work = make_corpus(TEXTS)
    for best in COPIES:
        after = scored(work, {best: 0.75})
        assert kept(work, dedup(after, "quality", "source", quality="model_edu")) == best
    # Dropped rows have scores too, or none: only rows alive count.
    after = scored(work, {COPIES[0]: 0.0, COPIES[1]: 0.5})
    assert kept_of_two(after, dedup(after, "quality", quality="model_edu")) == COPIES[1]
    first = dedup(after, "doc_id")
    assert dedup(after, "doc_id").manifest == first.manifest
    equal = scored(work, {})
    done = dedup(equal, "quality", "doc_id", quality="model_edu")
    assert kept(work, done) == min(COPIES)
    assert done.manifest.config["deciding"]["quality"] == "model_edu"


def kept_of_two(work: Work, done: Done) -> bytes:
    assert done.manifest.counts.read == 3
    return kept(work, done)


def test_a_missing_score_is_an_error(make_corpus: MakeCorpus) -> None:
    after = scored(make_corpus(TEXTS), {COPIES[2]: None})
    with pytest.raises(CorruptFile, match=r"quality/scores/b/0\.parquet: 1 rows alive have no `model_edu`"):
        dedup(after, "quality", quality="model_edu")


@given(st.datetimes(), st.integers(-23 * 60, 23 * 60))
def test_moments_are_those_of_datetime(naive: datetime, offset: int) -> None:
    def of(date: str) -> int | None:
        return moment(json.dumps({"date": date}))

    away = naive - datetime(1970, 1, 1)
    since = (away.days * 86_400 + away.seconds) * 1_000_000 + away.microseconds
    assert of(naive.isoformat()) == of(naive.replace(tzinfo=UTC).isoformat()) == of(f"{naive.isoformat(sep=' ')}Z") == since
    elsewhere = naive.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert of(elsewhere.isoformat()) == since - offset * 60_000_000


@given(st.lists(st.floats(), min_size=1))
def test_scores_become_integers_of_their_order(values: list[float]) -> None:
    found = ascending(np.array(values)).tolist()
    expected = sorted(values, key=lambda value: (math.isnan(value), value))
    ordered = [value for _, value in sorted(zip(found, values, strict=True), key=lambda pair: pair[0])]
    assert [repr(value + 0.0) for value in ordered] == [repr(value + 0.0) for value in expected]
    assert len(set(found)) == len({repr(value + 0.0) for value in values})


@pytest.mark.parametrize(
    ("metadata", "date"),
    [
        ({"date": "2016-01-11T23:29:14Z"}, "2016-01-11T23:29:14+00:00"),
        ({"date": "2016-01-11T23:29:14.123456789Z"}, "2016-01-11T23:29:14.123456+00:00"),
        ({"date": "2016-01-11"}, "2016-01-11T00:00:00+00:00"),
        ({"date": "20160111"}, "2016-01-11T00:00:00+00:00"),
        ({"date": "2016-02"}, "2016-02-01T00:00:00+00:00"),
        ({"date": "2016"}, "2016-01-01T00:00:00+00:00"),
        ({"fields": {"date": "2016-01-11"}}, "2016-01-11T00:00:00+00:00"),
        ({"fields": {"date": "2016-01-11"}, "date": "2015-01-11"}, "2015-01-11T00:00:00+00:00"),
        ({"fields": {"url": "x"}}, None),
        ({}, None),
        ({"date": None}, None),
        ({"date": 1452554954}, None),
        ({"date": ""}, None),
        ({"date": "0000"}, None),
        ({"date": "2016-13"}, None),
        ({"date": "2016-02-30"}, None),
        ({"date": "Mon, 11 Jan 2016 23:29:14 GMT"}, None),
        ({"date": "\u0662\u0660\u0661\u0666"}, None),
    ],
)
def test_dates_as_sources_write_them(metadata: dict[str, Any], date: str | None) -> None:
    expected = None if date is None else datetime.fromisoformat(date)
    found = moment(json.dumps(metadata))
    assert (None if found is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found)) == expected
