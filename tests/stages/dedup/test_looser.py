"""Pairs that miss the threshold by little are compared once more: revised texts are found, other operators are no revision."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tests.stages.dedup.test_equal import rows
from tests.stages.dedup.test_evidence import replaced
from tokenmill.pipeline.base import executor, manifest, shards
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.kernels.text.unicode import Folding
from tokenmill.pipeline.stages.dedup import known
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.revisions import are_revisions, least
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.signatures import settings
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

MakeCorpus = Callable[..., Work]
LOOSE = Folding(case=True, operators=True)
WORDS = ["".join(pair) for pair in itertools.product("abcdefgh", "stuvwxyz")]
OLD = " ".join([*WORDS[:46], "press", "Ctrl", "c", "to", "end"])
NEW = " ".join([*WORDS[:46], "hold", "Ctrl", "+", "C", "to", "end"])
NAME = "dedup/verdicts/a/0.parquet"
SAID = "5-grams of words, normalised by plain@1, case folded, operators folded"


def similarities(one: str, other: str) -> tuple[float, float]:
    return oracle.jaccard(one, other, 5), oracle.jaccard(one, other, 5, folding=LOOSE)


def test_a_revised_text_is_found_and_its_verdict_says_how(make_corpus: MakeCorpus) -> None:
    strict, loose = similarities(OLD, NEW)
    assert 0.7 < strict < 0.8 < loose
    found, wrong = rows(make_corpus, [OLD, NEW])
    (removed,) = [row for row in found if row["reason"]]
    assert (removed["reason"], removed["jaccard"], removed["compared"]) == ("near_duplicate", loose, SAID)
    assert wrong == []
    kept, _ = rows(make_corpus, [OLD, NEW], revisions=False)
    assert [row["reason"] for row in kept] == ["", ""]


@pytest.mark.parametrize("length", range(20, 39))
def test_the_same_words_with_another_operator_or_case_are_no_revision(make_corpus: MakeCorpus, length: int) -> None:
    """The longest of them are almost at the threshold."""
    half = length // 2
    texts = [" ".join([*WORDS[:half], mark, *WORDS[half:length]]) for mark in ("+ x", "- x", "** x", "+ X")]
    assert length < 38 or 0.73 < similarities(*texts[:2])[0] < 0.8
    found, _ = rows(make_corpus, texts)
    assert [row["reason"] for row in found] == [""] * 4


def test_a_name_of_its_own_beside_another_operator_is_no_revision(make_corpus: MakeCorpus) -> None:
    lines = "\n        ".join(f"{word} = other.{word}" for word in WORDS[:6])
    texts = [
        f"def __{name}__(self, other):\n        {lines}\n        return self.value {operator} other.value"
        for name, operator in (("add", "+"), ("sub", "-"), ("mul", "*"), ("and", "&"))
    ]
    assert similarities(*texts[:2])[1] > 0.8
    assert [row["reason"] for row in rows(make_corpus, texts)[0]] == [""] * 4


@pytest.mark.parametrize(
    ("given", "looser"),
    [
        ({}, {"fold_case": True, "fold_operators": True}),
        ({"revisions": False}, {}),
        ({"fold_case": False}, {"fold_operators": True}),
        ({"fold_operators": False, "fold_case": "initial"}, {}),
        ({"fold_operators": True}, {"fold_case": True}),
        ({"preset": "fineweb"}, {}),
        ({"preset": "dolma3"}, {}),
        ({"preset": "nemo"}, {}),
    ],
)
def test_what_a_setting_keeps_stays_kept(given: Mapping[str, Any], looser: Mapping[str, Any]) -> None:
    assert DedupConfig(**given).looser == looser


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1))
def test_a_revision_hides_at_most_a_third_and_misses_by_little(strict: float, loose: float, threshold: float) -> None:
    (found,) = are_revisions(np.array([strict]), np.array([loose]), threshold)
    hidden = (1 - strict) - (1 - loose)
    if abs(hidden - (1 - strict) / 3) > 1e-9:
        assert found == (strict < threshold <= loose and hidden < (1 - strict) / 3)
    assert not found or strict >= least(threshold) - 1e-9


def test_they_are_the_same_for_more_workers_and_looked_up_later(make_corpus: MakeCorpus) -> None:
    texts = {"a/0": [OLD, "quite another text that has nothing to do with it"], "a/1": [NEW]}
    work = make_corpus(texts)
    stage = Dedup(config=DedupConfig(), sources=("a",))
    made = perform(StageStep(stage), work, downstream=()).manifest
    looser = DedupConfig(**stage.config.looser)
    identity = manifest.fingerprint(stage.name, stage.version, settings(looser), {})
    (stored,) = known.load(work.root, identity, known.REVISIONS)
    assert stored.columns()[2].tolist() == [similarities(OLD, NEW)[1]]
    other = make_corpus(texts, "other")
    with executor.local(2) as pool:
        again = perform(StageStep(stage), dataclasses.replace(other, executor=pool), downstream=()).manifest
    assert again.hash == made.hash
    more = make_corpus({**texts, "a/2": ["one more text that is like no other of these texts"]})
    done = perform(StageStep(stage), more, downstream=())
    assert done.manifest.counts.kept == 3
    assert known.load(work.root, identity, known.REVISIONS)[0].columns()[2].tolist() == stored.columns()[2].tolist()


def test_a_verdict_that_calls_another_pair_a_revision_is_found(make_corpus: MakeCorpus) -> None:
    """Under the looser folding both texts are equal, so the lie has the right similarity."""
    texts = [" ".join([*WORDS[:30], "+", *WORDS[30:48]]), " ".join([*WORDS[:30], "-", *WORDS[30:48]])]
    work = make_corpus({"a/0": texts})
    config = DedupConfig(threshold=0.7)
    made = perform(StageStep(Dedup(config=config, sources=("a",))), work, downstream=()).manifest
    table = shards.read(work.root, (NAME, made.shards[0].files[NAME]))
    removed = table["reason"].to_pylist().index("near_duplicate")
    lies = {"jaccard": 1.0, "contained": 1.0, "contains": 1.0, "lost_ngrams": 0, "compared": SAID}
    for column, lie in lies.items():
        values = table[column].to_pylist()
        values[removed] = lie
        table = replaced(table, column, values)
    entry = shards.write(work.root, NAME, table)
    shard = dataclasses.replace(made.shards[0], files={NAME: entry})
    (line,) = problems(work.root, dataclasses.replace(made, shards=(shard,)), views(work.root, work.before))
    assert "no revision, with a similarity of 0.8" in line
