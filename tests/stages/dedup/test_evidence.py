"""Bad signatures are errors, and verdicts that are not true are found."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pyarrow as pa
import pytest

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import CorruptFile, Misaligned
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

STAGE = Dedup(config=DedupConfig(exact="white_space"), sources=("a",))
TEXTS = [
    "a quick brown fox jumps over the lazy dog and runs far away from here today",
    "a quick brown fox jumps over the lazy dog and runs far away from here",
    "something else that is long enough for a band of its own",
    "short",
    " short",
]
SCORES = "dedup/scores/a/0.parquet"
VERDICTS = "dedup/verdicts/a/0.parquet"
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture
def work(make_corpus: Callable[..., Work]) -> Work:
    return make_corpus({"a/0": TEXTS})


def changed(work: Work, name: str, named: FileEntry, change: Change) -> FileEntry:
    return shards.write(work.root, name, change(shards.read(work.root, (name, named))))


def replaced(table: pa.Table, column: str, values: list[object]) -> pa.Table:
    at = table.schema.get_field_index(column)
    return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))


def without_first(table: pa.Table, column: str) -> pa.Table:
    return replaced(table, column, [None, *table[column].to_pylist()[1:]])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda table: without_first(table, "exact"), CorruptFile, "1 rows alive have no `exact`"),
        (lambda table: without_first(table, "bytes"), CorruptFile, "1 rows alive have no `bytes`"),
        (lambda table: without_first(table, "bands"), CorruptFile, "`bands` do not fit their `units`"),
        (lambda table: replaced(table, "bands", [bytes(128)] * 5), CorruptFile, "`bands` do not fit their `units`"),
        (
            lambda table: table.set_column(4, "bands", pa.array([bytes(8)] * 5, pa.binary(8))),
            CorruptFile,
            "holds no signatures",
        ),
        (lambda table: table.drop_columns(["bands"]), CorruptFile, "holds no signatures"),
        (lambda table: table.slice(0, 4), CorruptFile, "4 rows of signatures for 5"),
        (lambda table: table.take([1, 0, 2, 3, 4]), Misaligned, "row 0"),
    ],
)
def test_bad_signatures_are_errors(work: Work, change: Change, error: type[Exception], message: str) -> None:
    made = perform(StageStep(STAGE), work, downstream=()).manifest
    entry = changed(work, SCORES, made.shards[0].files[SCORES], change)
    with pytest.raises(error, match=message):
        STAGE.resolve([(views(work.root, work.before)[0], (SCORES, entry))], work)


def test_what_is_written(work: Work) -> None:
    made = perform(StageStep(STAGE), work, downstream=()).manifest
    scores = shards.read(work.root, (SCORES, made.shards[0].files[SCORES]))
    assert scores["units"].to_pylist() == [16, 15, 12, 1, 1]
    assert scores["bytes"].to_pylist() == [len(text) for text in TEXTS]
    assert scores["bands"].is_valid().to_pylist() == [True, True, True, False, False]
    assert scores["exact"][3] == scores["exact"][4] != scores["exact"][0]
    verdicts = shards.read(work.root, (VERDICTS, made.shards[0].files[VERDICTS]))
    assert verdicts["reason"].to_pylist() == ["", "near_duplicate", "", "exact_duplicate", ""]
    assert verdicts["jaccard"].to_pylist() == [None, 11 / 12, None, 1.0, None]
    assert verdicts["cluster_size"].to_pylist() == [2, 2, 1, 2, 2]
    assert verdicts["kept_doc_id"].to_pylist() == [None, scores["doc_id"][0].as_py(), None, scores["doc_id"][4].as_py(), None]
    near = "5-grams of words, normalised by plain@1"
    assert verdicts["compared"].to_pylist() == [None, near, None, "text with white space collapsed", None]
    assert made.facts["edges"] == made.facts["verified_pairs"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: replaced(table, "kept_doc_id", [None, bytes(16), None, None, None]), "2 removed rows name no kept"),
        (lambda table: replaced(table, "jaccard", [None, 0.5, None, 1.0, None]), "1 removed rows below the threshold"),
        (
            lambda table: replaced(table, "jaccard", [None, 0.9, None, 1.0, None]),
            "their similarity is 0.91.*the verdict says 0.9",
        ),
        (
            lambda table: replaced(table, "kept_doc_id", [None, *[table["doc_id"][2].as_py()] * 3, None]),
            "their similarity is 0.0",
        ),
    ],
)
def test_verdicts_that_are_not_true_are_found(work: Work, change: Change, message: str) -> None:
    made = perform(StageStep(STAGE), work, downstream=()).manifest
    seen = views(work.root, work.before)
    assert list(problems(work.root, made, seen)) == []
    entry = changed(work, VERDICTS, made.shards[0].files[VERDICTS], change)
    shard = dataclasses.replace(made.shards[0], files={VERDICTS: entry})
    found = list(problems(work.root, dataclasses.replace(made, shards=(shard,)), seen))
    assert len(found) >= 1
    assert found[0].startswith(str(work.root / VERDICTS))
    assert any(re.search(message, line) for line in found)


def test_signatures_stay_what_they_are() -> None:
    """Stored signatures are compared with new ones for years: whoever changes them bumps the stage's version."""
    batch = STAGE.score(pa.record_batch({"text": pa.array(TEXTS[:1], pa.large_string())}))
    assert STAGE.version == 2
    assert batch["exact"][0].as_py().hex() == "6ea0c1075c05a67ddbb2971984e59a91"
    assert batch["bands"][0].as_py()[:16].hex() == "1af70cae6edc543bc4d2b0cf168a79e5"
