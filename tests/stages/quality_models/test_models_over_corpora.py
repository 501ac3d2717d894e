"""The stage with models over a corpus: the same bytes from any number of workers, shares by rank, the edited text."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages.quality_models.conftest import NO_RULE, Trained, config, entry
from tokenmill.pipeline.base import executor, manifest, schema, shards
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.protocols import Scorer
from tokenmill.pipeline.stages.quality import models
from tokenmill.pipeline.stages.quality.ranking import quality
from tokenmill.pipeline.stages.step import StageStep, Work, perform


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.binary(min_size=16, max_size=16)), unique_by=lambda r: r[1]),
    st.floats(0.001, 1),
)
def test_kept_by_rank(rows: list[tuple[float, bytes]], fraction: float) -> None:
    values, ids = np.array([row[0] for row in rows], np.float64), pa.array([row[1] for row in rows], schema.DOC_ID.type)
    kept = models.kept_by_rank(values, ids, fraction)
    best = sorted(rows, key=lambda row: (-row[0], row[1]))[: math.floor(fraction * len(rows) + 0.5)]
    assert {row for row, keep in zip(rows, kept, strict=True) if keep} == set(best)


def mixed(trained: Trained) -> dict[str, list[str]]:
    texts = [*trained.examples["positive"][:20], *trained.examples["negative"][:20]]
    random.Random(3).shuffle(texts)
    texts[5] = texts[6]
    return {"a/0": texts[:13], "a/1": [], "b/0": texts[13:]}


def published(work: Work, step: str) -> dict[str, bytes]:
    made = manifest.find(work.root, step)
    assert made is not None
    return {name: (work.root / name).read_bytes() for name, _ in made.entries()} | {step: made.hash.encode()}


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Executor]:
    with executor.local(2) as pool:
        yield pool


@pytest.mark.parametrize(
    "wanted", [{"good": {"min": 0.5}}, {"good": {"keep_fraction": 0.3}, "clean": {"label": "negative", "keep_fraction": 0.9}}]
)
def test_one_and_two_workers_give_the_same_bytes(
    trained: Trained, make_corpus: Callable[..., Work], wanted: dict[str, Any], two_workers: Executor
) -> None:
    stage: Scorer = quality(config(thresholds=NO_RULE, **{name: entry(trained, **how) for name, how in wanted.items()}))
    texts = mixed(trained)
    one, two = make_corpus(texts, "one"), make_corpus(texts, "two")
    perform(StageStep(stage), one, downstream=())  # type: ignore[arg-type]
    perform(StageStep(stage), Work(root=two.root, before=two.before, executor=two_workers), downstream=())  # type: ignore[arg-type]
    assert published(one, "quality") == published(two, "quality")
    counts = manifest.find(one.root, "quality").counts  # type: ignore[union-attr]
    assert set(counts.dropped) >= {"model_good"}
    assert 0 < counts.kept < counts.read


def test_a_share_is_kept_of_what_passes_everything_else(trained: Trained, make_corpus: Callable[..., Work]) -> None:
    texts = mixed(trained)
    texts["a/0"][0] = "nothing but words " * 400
    work = make_corpus(texts)
    done = perform(StageStep(quality(config(thresholds=NO_RULE, good=entry(trained, keep_fraction=0.25)))), work, downstream=())
    total = sum(map(len, texts.values()))
    other = {reason: count for reason, count in done.manifest.counts.dropped.items() if reason != "model_good"}
    candidates = total - sum(other.values())
    assert candidates == total - 1
    kept = math.floor(candidates * 0.25 + 0.5)
    assert done.manifest.counts.kept == kept
    facts = done.manifest.facts["model_good"]
    assert (facts["candidates"], facts["kept"]) == (candidates, kept)

    rows = []
    for shard in done.manifest.shards:
        tables = [
            shards.read(work.root, named)
            for kind in ("scores", "verdicts")
            for named in shard.files.items()
            if f"/{kind}/" in named[0]
        ]
        reasons = tables[1]["reason"].cast(pa.string()).to_pylist()
        rows += list(zip(tables[0]["model_good"].to_pylist(), tables[0]["doc_id"].to_pylist(), reasons, strict=True))
    ranked = sorted((-score, doc_id) for score, doc_id, reason in rows if reason in ("", "model_good"))
    assert {doc_id for _, doc_id in ranked[:kept]} == {doc_id for _, doc_id, reason in rows if reason == ""}
    assert facts["cut"] == -ranked[kept - 1][0]

    again = perform(StageStep(quality(config(thresholds=NO_RULE, good=entry(trained, keep_fraction=0.5)))), work, downstream=())
    assert again.scored_rows == 0
    assert again.manifest.counts.kept == math.floor(candidates * 0.5 + 0.5)
    by_value = perform(
        StageStep(quality(config(thresholds=NO_RULE, good=entry(trained, min=facts["cut"])))), work, downstream=()
    )
    assert by_value.scored_rows == 0
    assert by_value.manifest.counts.kept >= kept


def test_models_judge_and_publish_the_edited_text(trained: Trained, make_corpus: Callable[..., Work]) -> None:
    menu = "call 0800 free prize\n" * 5
    good = "\n".join(f"{text.capitalize()}." for text in ("the river flows through the valley", "she reads a letter now") * 3)
    rules = {"min_line_words": 5}
    for how in ({"min": 0.5}, {"keep_fraction": 1.0}):
        work = make_corpus({"a/0": [menu + good, good]}, f"corpus_{next(iter(how))}")
        stage = quality(config("c4@1", rules, good=entry(trained, **how)))
        done = perform(StageStep(stage), work, downstream=())
        scores = shards.read(work.root, next(item for item in done.manifest.shards[0].files.items() if "/scores/" in item[0]))
        assert len(set(scores["model_good"].to_pylist())) == 1
        view = views(work.root, [*work.before, done.manifest])[0]
        assert view.read().table["text"].to_pylist() == [good, good]


def test_nothing_to_rank(trained: Trained, make_corpus: Callable[..., Work]) -> None:
    stage = quality(config(good=entry(trained, keep_fraction=0.5)))
    done = perform(StageStep(stage), make_corpus({"a/0": [], "a/1": ["short"]}), downstream=())
    assert done.manifest.facts["model_good"] == {"candidates": 0, "kept": 0, "cut": None}
    assert done.manifest.counts.dropped == {"too_few_words": 1}
    assert perform(StageStep(stage), make_corpus({}, "empty"), downstream=()).manifest.counts.read == 0
