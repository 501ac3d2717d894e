"""What a removal loses: shares of n-grams both ways, the limit on them, and that documents over it stay."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tests.stages.dedup.test_dedup import CORPUS, fresh_folder, of
from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.shares import shares, within
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import StageStep, Work, perform

MakeCorpus = Callable[..., Work]
EAGER: dict[str, Any] = {"ngram": 2, "bands": 64, "rows": 1, "threshold": 0.5}
WORDS = ["".join(pair) for pair in itertools.product("abcdefgh", "stuvwxyz")]


def found(work: Work, config: DedupConfig) -> dict[bytes, dict[str, Any]]:
    """The verdicts by `doc_id`, of which `verify` finds nothing wrong."""
    made = perform(StageStep(Dedup(config=config, sources=("a", "b"))), work, downstream=()).manifest
    assert list(problems(work.root, made, views(work.root, work.before), most=None)) == []
    names = [(f"dedup/verdicts/{shard.name}.parquet", shard) for shard in made.shards]
    parts = [shards.read(work.root, (name, shard.files[name])).to_pylist() for name, shard in names]
    return {row["doc_id"]: row for row in itertools.chain(*parts)}


def shared(text: str, other: str, n: int) -> tuple[float, float, int]:
    """What a removed text and a kept one have in common, in plain Python."""
    mine, theirs = set(oracle.ngrams(text, n)), set(oracle.ngrams(other, n))
    both = len(mine & theirs)
    return both / len(mine), both / len(theirs), len(mine) - both


def kept_by_the_rule(texts: Mapping[str, Sequence[str]], loses: float) -> set[bytes]:
    """Documents in survivor order: one stays unless it is like one that stays, and would lose at most `loses` to it."""
    documents = [(shard, of(shard, row), text) for shard, rows in texts.items() for row, text in enumerate(rows)]
    documents.sort(key=lambda one: (one[0].split("/")[0], -len(one[2].encode()), one[1]))
    kept: list[tuple[bytes, str]] = []
    seen: set[str] = set()
    for _, doc_id, text in documents:
        alike = [other for _, other in kept if oracle.jaccard(text, other, 2) >= 0.5]
        if text not in seen and not any(shared(text, other, 2)[0] >= 1 - loses for other in alike):
            kept.append((doc_id, text))
        seen.add(text)
    return {doc_id for doc_id, _ in kept}


@given(CORPUS, st.sampled_from([0.0, 0.2, 0.25, 0.5, 1.0]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_who_stays_and_what_is_lost_is_that_of_brute_force(
    make_corpus: MakeCorpus, texts: dict[str, list[str]], loses: float
) -> None:
    verdicts = found(make_corpus(texts, folder=fresh_folder()), DedupConfig(**EAGER, revisions=False, loses=loses))
    text_of = {of(shard, row): text for shard, rows in texts.items() for row, text in enumerate(rows)}
    assert {doc_id for doc_id, row in verdicts.items() if row["reason"] == ""} == kept_by_the_rule(texts, loses)
    for doc_id, row in verdicts.items():
        evidence = (row["contained"], row["contains"], row["lost_ngrams"])
        if row["reason"] == "near_duplicate":
            assert evidence == shared(text_of[doc_id], text_of[row["kept_doc_id"]], 2)
            assert 1 - evidence[0] <= loses
        else:
            assert evidence == ((1.0, 1.0, 0) if row["reason"] else (None, None, None))


def test_the_kept_document_is_what_counts_not_a_neighbour(make_corpus: MakeCorpus) -> None:
    """The last text stands in the middle one whole, but that one goes for the first, which lacks a part of it."""
    first, middle, last = (" ".join(WORDS[slice(*words)]) for words in ((0, 40), (5, 43), (20, 43)))
    texts, near = {"a/0": [first], "b/0": [middle, last]}, "near_duplicate"
    assert [shared(one, first, 5)[0] for one in (middle, last)] == [31 / 34, 16 / 19]
    for loses, reasons in ((1.0, [near, near]), (0.1, [near, ""]), (0.0, ["", near])):
        verdicts = found(make_corpus(texts, folder=fresh_folder()), DedupConfig(threshold=0.4, loses=loses))
        assert [verdicts[of("b/0", row)]["reason"] for row in range(2)] == reasons, loses


def test_nothing_is_lost_of_a_text_that_stands_in_another(make_corpus: MakeCorpus) -> None:
    texts = {"a/0": [" ".join(WORDS[:40]), " ".join(WORDS[2:40]), " ".join([*WORDS[2:40], "new"])]}
    verdicts = found(make_corpus(texts), DedupConfig(threshold=0.7, loses=0))
    assert [verdicts[of("a/0", row)]["reason"] for row in range(3)] == ["", "near_duplicate", ""]
    # With the shorter text first, nobody is without loss.
    turned = found(make_corpus({"a/0": texts["a/0"][1:2], "b/0": texts["a/0"][:1]}, folder="turned"), DedupConfig(loses=0))
    assert [row["reason"] for row in turned.values()] == ["", ""]


def test_another_limit_compares_nothing_again(make_corpus: MakeCorpus) -> None:
    """Sizes are kept with similarities, whichever text of a pair comes first."""
    rng = np.random.default_rng(3)
    rows = [" ".join([*WORDS[at : at + 30], *rng.choice(WORDS, 3)]) for at in range(20) for _ in range(3)]
    texts = {"a/0": rows[:30], "b/0": rows[30:]}
    work = make_corpus(texts)
    config = {"threshold": 0.5, "revisions": False}
    for sources in (("a", "b"), ("b", "a")):
        for loses in (1.0, 0.3, 0.1, 0.0):
            stage = StageStep(Dedup(config=DedupConfig(**config, loses=loses), sources=sources))
            again = perform(stage, work, downstream=())
            assert again.now == {"verified_pairs": 0} or (sources, loses) == (("a", "b"), 1.0)
            assert list(problems(work.root, again.manifest, views(work.root, work.before))) == []
            fresh = perform(stage, make_corpus(texts, folder=fresh_folder()), downstream=())
            assert fresh.manifest == again.manifest


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 2**31))
def test_counts_come_back_out_of_a_similarity(common: int, mine: int, theirs: int) -> None:
    if not common + mine:
        return
    one, other = common + mine, common + theirs
    made = shares(np.array([common / (one + theirs)]), np.array([one]), np.array([other]))
    assert made.lost_ngrams[0] == mine
    assert made.contained[0] == common / one
    assert made.contains[0] == (common / other if other else 1.0)


@pytest.mark.parametrize("tenths", range(11))
def test_a_limit_is_reached_at_its_value(tenths: int) -> None:
    made = shares(np.array([(10 - tenths) / 10]), np.array([10]), np.array([10 - tenths]))
    assert within(made.contained, tenths / 10)[0]
    assert not within(made.contained, tenths / 10 - 0.01)[0]
