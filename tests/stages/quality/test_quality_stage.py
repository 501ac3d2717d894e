"""The stage: what is stored, what a changed threshold recomputes, what it refuses, and how it runs over a corpus."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.protocols import Editor, Stage
from tokenmill.pipeline.stages.quality.recipes import RECIPES
from tokenmill.pipeline.stages.quality.settings import QualityConfig
from tokenmill.pipeline.stages.quality.stage import Quality
from tokenmill.pipeline.stages.step import StageStep, Work, perform

GOOD = "The river and the sea have met. It is wide. It is deep. Boats go there to fish. Birds follow them home."
MENU = "Home\nWe use cookies to bake.\n"


def quality(recipe: str, **thresholds: Any) -> Quality:
    return Quality(config=QualityConfig(recipe=recipe, **thresholds))


def scored(stage: Quality, *texts: str) -> pa.RecordBatch:
    return stage.score(pa.record_batch({"text": pa.array(texts, pa.large_string())}))


def reasons(stage: Quality, *texts: str) -> list[str]:
    return stage.decide(scored(stage, *texts))["reason"].to_pylist()


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_hostile_texts_are_judged(recipe: str) -> None:
    stage: Stage = quality(recipe)
    texts = ["", " ", "\0", "\x00\x1f\x7f\x85", "!" * 1_000_000, "a" * 1_000_000, "\n" * 1_000, "漢" * 1_000, "{", "…\n•\n"]
    batch = stage.score(pa.record_batch({"text": pa.array(texts, pa.large_string())}))
    assert batch.schema == stage.scores
    assert batch.column(0).null_count == 0
    assert all(stage.decide(batch)["reason"].to_pylist())


def test_no_rows() -> None:
    stage = quality("fineweb@1")
    scores = scored(stage)
    verdict = stage.decide(scores)
    assert scores.num_rows == verdict.num_rows == len(stage.edits(scores, verdict)) == 0


def test_what_a_recipe_stores() -> None:
    assert quality("c4@1").scores.names == ["lorem_ipsum_lines", "curly_bracket_lines", "sentences", "removed"]
    docs = quality("docs@1").scores.names
    assert "removed" not in docs
    assert not [name for name in docs if "gram" in name]
    assert {"top_2gram", "duplicate_10gram", "removed", "words"} <= set(quality("fineweb@1").scores.names)


def test_a_threshold_changes_decisions_and_no_score() -> None:
    strict, loose = quality("docs@1"), quality("docs@1", min_words=5)
    assert strict.scoring == loose.scoring
    assert strict.deciding != loose.deciding
    assert scored(strict, GOOD).equals(scored(loose, GOOD))
    assert (reasons(strict, GOOD), reasons(loose, GOOD)) == (["too_few_words"], [""])
    assert reasons(quality("docs@1", min_words=5, max_words=20), GOOD) == ["too_many_words"]


def test_line_rules_and_new_statistics_change_scores() -> None:
    assert quality("c4@1", min_line_words=4).scoring != quality("c4@1").scoring
    assert "top_2gram" in quality("docs@1", max_top_2gram=0.2).scores.names


def test_edits_are_what_was_scored() -> None:
    stage = quality("c4@1")
    batch = scored(stage, MENU + GOOD, GOOD)
    assert isinstance(stage, Editor)
    assert stage.edits(batch, stage.decide(batch)) == [[(0, len(MENU), "")], []]
    docs = quality("docs@1")
    batch = scored(docs, MENU + GOOD)
    assert docs.edits(batch, docs.decide(batch)) == [[]]


def test_limits_name_the_column_and_the_setting() -> None:
    explained = dict(quality("docs@1", min_words=7).limits({}))
    assert explained["too_few_words"] == Limit(column="words", setting="min_words", threshold=7)
    assert next(iter(explained)) == "duplicate_paragraphs"
    assert set(explained) >= set(reasons(quality("docs@1"), GOOD, "x", ""))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "docs@2"}, "did you mean docs@1"),
        ({"recipe": "?"}, "known: gopher@1, c4@1"),
        ({"recipe": "docs@1", "min_words": 200_000}, "min_words = 200000 is above max_words = 100000"),
    ],
)
def test_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Quality(config=QualityConfig(**settings))


def test_a_stage_travels_to_workers() -> None:
    stage = quality("fineweb@1")
    scored(stage, GOOD)
    assert pickle.loads(pickle.dumps(stage)) == stage  # noqa: S301 -- our own bytes, as executors send them


def test_over_a_corpus(make_corpus: Callable[..., Work]) -> None:
    work = make_corpus({"a/0": [MENU + GOOD, "short", "é" + GOOD + "\r\nNotes"], "a/1": []})
    done = perform(StageStep(quality("c4@1")), work, downstream=())
    counts = done.manifest.counts
    assert (counts.read, counts.kept, counts.dropped) == (3, 2, {"too_few_sentences": 1})
    view = views(work.root, [*work.before, done.manifest])[0]
    assert view.read().table["text"].to_pylist() == [GOOD, "é" + GOOD]

    again = perform(StageStep(quality("c4@1", min_sentences=1)), work, downstream=())
    assert (again.scored_rows, again.manifest.counts.kept) == (0, 2)
    name, entry = next(item for item in again.manifest.shards[0].files.items() if "/scores/" in item[0])
    assert shards.read(work.root, (name, entry))["sentences"].to_pylist() == [5, 0, 5]
