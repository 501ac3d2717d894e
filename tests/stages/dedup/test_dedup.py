"""The stage against brute force over all pairs, and the promises that every removal must hold."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tokenmill.pipeline.base import executor, manifest, schema, shards
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import Done, StageStep, Work, perform

# One row a band: any pair that shares much becomes a candidate, so that brute force finds what bands find.
EAGER = DedupConfig(ngram=2, bands=64, rows=1, threshold=0.5)
MakeCorpus = Callable[..., Work]
Verdict = tuple[str, bytes | None, float | None, int]


def dedup(work: Work, config: DedupConfig = EAGER, sources: tuple[str, ...] = ("a", "b")) -> Done:
    return perform(StageStep(Dedup(config=config, sources=sources)), work, downstream=())


def verdicts(work: Work, done: Done) -> dict[bytes, Verdict]:
    rows: dict[bytes, Verdict] = {}
    for shard in done.manifest.shards:
        name = f"dedup/verdicts/{shard.name}.parquet"
        for row in shards.read(work.root, (name, shard.files[name])).to_pylist():
            rows[row["doc_id"]] = (row["reason"], row["kept_doc_id"], row["jaccard"], row["cluster_size"])
    return rows


def of(shard: str, row: int) -> bytes:
    source, split = shard.split("/")
    return schema.doc_id(source, f"{split}:{row}")


def expected(texts: Mapping[str, Sequence[str]], config: DedupConfig) -> dict[bytes, Verdict]:
    """The rule over all pairs, in plain Python: exact groups, survivor order, one is kept unless like a kept one."""
    documents = [(shard, of(shard, row), text) for shard, rows in texts.items() for row, text in enumerate(rows)]
    documents.sort(key=lambda document: (document[0].split("/")[0], -len(document[2].encode()), document[1]))
    leader: dict[str, tuple[bytes, float]] = {}
    kept: list[tuple[bytes, str]] = []
    named: dict[bytes, tuple[str, bytes, float]] = {}
    for _, doc_id, text in documents:
        if text in leader:
            keeper, similarity = leader[text]
            named[doc_id] = ("exact_duplicate" if similarity == 2 else "near_duplicate", keeper, min(similarity, 1.0))
            continue
        likely = [(oracle.jaccard(text, other, config.scheme.ngram), keeper) for keeper, other in kept]
        best = max(likely, key=lambda pair: pair[0], default=(0.0, b""))
        if best[0] >= config.threshold:
            leader[text] = (best[1], best[0])
            named[doc_id] = ("near_duplicate", best[1], best[0])
        else:
            leader[text] = (doc_id, 2)
            kept.append((doc_id, text))
            named[doc_id] = ("", doc_id, 1.0)
    sizes: dict[bytes, int] = {}
    for _, keeper, _ in named.values():
        sizes[keeper] = sizes.get(keeper, 0) + 1
    return {
        doc_id: (reason, keeper if reason else None, similarity if reason else None, sizes[keeper])
        for doc_id, (reason, keeper, similarity) in named.items()
    }


LINE = st.lists(st.sampled_from(["to", "be", "or", "Not", "\u65e5", "7"]), max_size=9).map(" ".join)
CORPUS = st.fixed_dictionaries(
    {"a/0": st.lists(LINE, max_size=7), "a/1": st.lists(LINE, max_size=5), "b/0": st.lists(LINE, max_size=7)}
)


FOLDERS = itertools.count()


def fresh_folder() -> str:
    """Hypothesis runs one test function many times in one temporary folder."""
    return f"corpus{next(FOLDERS)}"


@given(CORPUS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_verdicts_are_those_of_brute_force(make_corpus: MakeCorpus, texts: dict[str, list[str]]) -> None:
    work = make_corpus(texts, folder=fresh_folder())
    done = dedup(work)
    # One minimum alone finds a pair at 0.5 every other time, so 64 of them miss it with odds of 2^-64.
    assert verdicts(work, done) == expected(texts, EAGER)
    assert list(problems(work.root, done.manifest, views(work.root, work.before))) == []


def test_a_chain_never_removes_what_is_unlike_everything_kept(make_corpus: MakeCorpus) -> None:
    letters = string.ascii_lowercase
    chain = [" ".join(letters[:20]) + " !!!!", " ".join(letters[3:23]), " ".join(letters[6:26])]
    config = DedupConfig(ngram=1, bands=64, rows=1, threshold=0.7)
    similarity = [oracle.jaccard(chain[i], chain[j], 1) for i, j in ((0, 1), (1, 2), (0, 2))]
    assert similarity[0] == similarity[1] == 17 / 23
    assert similarity[2] < 0.7
    work = make_corpus({"a/0": chain[:1], "b/0": chain[1:2], "c/0": chain[2:]})
    found = verdicts(work, dedup(work, config, ("a", "b", "c")))
    assert found[of("a/0", 0)] == ("", None, None, 2)
    assert found[of("b/0", 0)] == ("near_duplicate", of("a/0", 0), 17 / 23, 2)
    assert found[of("c/0", 0)] == ("", None, None, 1)
    # With the middle one first, both ends go for it.
    again = dedup(dataclasses.replace(work), config, ("b", "a", "c"))
    assert [verdicts(work, again)[of(f"{name}/0", 0)][1] for name in "abc"] == [of("b/0", 0), None, of("b/0", 0)]


def test_a_copy_of_a_removed_text_names_what_that_text_names(make_corpus: MakeCorpus) -> None:
    letters = string.ascii_lowercase
    kept, near = " ".join(letters[:20]), " ".join(letters[1:20])
    work = make_corpus({"a/0": [kept], "b/0": [near, near, kept]})
    done = dedup(work, DedupConfig(ngram=1, bands=64, rows=1, threshold=0.9))
    found = verdicts(work, done)
    assert found[of("b/0", 0)] == found[of("b/0", 1)] == ("near_duplicate", of("a/0", 0), 0.95, 4)
    assert found[of("b/0", 2)] == ("exact_duplicate", of("a/0", 0), 1.0, 4)
    assert done.manifest.counts.dropped == {"exact_duplicate": 1, "near_duplicate": 2}
    assert done.manifest.facts["clusters"] == 1


@pytest.mark.parametrize("text", ["", "too short", "these are quite enough words to band"])
def test_all_documents_equal(make_corpus: MakeCorpus, text: str) -> None:
    work = make_corpus({"a/0": [text] * 4, "a/1": [text] * 3})
    done = dedup(work)
    first = min([of("a/0", row) for row in range(4)] + [of("a/1", row) for row in range(3)])
    for doc_id, verdict in verdicts(work, done).items():
        assert verdict == (("", None, None, 7) if doc_id == first else ("exact_duplicate", first, 1.0, 7))
    assert done.manifest.facts["verified_pairs"] == 0


def test_a_corpus_without_documents(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": [], "b/0": []})
    assert dedup(work).manifest.counts == manifest.Counts()


def test_short_texts_are_compared_by_exact_hash_only(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["one two three four", "one two three four", "one two three four!", ""]})
    found = verdicts(work, dedup(work, DedupConfig()))
    assert sorted(verdict[0] for verdict in found.values()) == ["", "", "", "exact_duplicate"]


def test_a_bucket_over_the_limit_is_reported_and_still_finds_copies(make_corpus: MakeCorpus) -> None:
    shared = " ".join(f"{one}{other}" for one in string.ascii_lowercase for other in "abcdefgh")
    pages = [f"{shared} {letter} {other}" for letter in string.ascii_lowercase for other in "abc"]
    work = make_corpus({"a/0": pages})
    config = DedupConfig(bucket_limit=8)
    done = dedup(work, config)
    facts = done.manifest.facts
    assert facts["capped_buckets"] > 0
    assert facts["capped_bucket_members"] > 8
    assert facts["verified_pairs"] < len(pages) * (len(pages) - 1) // 2
    assert done.manifest.counts.kept == 1
    assert list(problems(work.root, done.manifest, views(work.root, work.before))) == []


def shuffled(work: Work, root: Path, turn: int) -> Work:
    """The same documents, in other rows of their shards."""
    (collected,) = work.before
    made = []
    for shard in collected.shards:
        name = f"documents/{shard.name}.parquet"
        table = shards.read(work.root, (name, shard.files[name]))
        order = np.random.default_rng(turn).permutation(table.num_rows)
        made.append(dataclasses.replace(shard, files={name: shards.write(root, name, table.take(pa.array(order)))}))
    return Work(root=root, before=(dataclasses.replace(collected, shards=tuple(made)),), executor=work.executor)


@pytest.fixture
def mixed(make_corpus: MakeCorpus) -> Work:
    """Copies near and exact, within and across shards and sources."""
    rng = np.random.default_rng(3)
    texts: dict[str, list[str]] = {"a/0": [], "a/1": [], "b/0": []}
    for _ in range(25):
        words = [string.ascii_lowercase[at] * 2 for at in rng.integers(0, 26, 40)]
        for copy in range(3):
            changed = list(words)
            changed[int(rng.integers(40))] = ["x", "y", "z"][copy]
            texts[sorted(texts)[int(rng.integers(3))]] += [" ".join(changed)] * int(rng.integers(1, 3))
    return make_corpus(texts)


MIXED = DedupConfig(threshold=0.6, bands=16, rows=7)


def test_workers_and_the_order_of_rows_make_no_difference(mixed: Work, tmp_path: Path) -> None:
    done = dedup(mixed, MIXED)
    alone = verdicts(mixed, done)
    reasons = {verdict[0] for verdict in alone.values()}
    assert reasons == {"", "exact_duplicate", "near_duplicate"}
    other = shuffled(mixed, tmp_path / "shuffled", 1)
    assert verdicts(other, dedup(other, MIXED)) == alone
    same = shuffled(mixed, tmp_path / "unshuffled", 0)
    by_one = dedup(same, MIXED)
    manifest.withdraw(same.root, ["dedup"])
    shutil.rmtree(same.root / ".state")
    with executor.local(2) as pool:
        by_two = dedup(dataclasses.replace(same, executor=pool), MIXED)
    assert by_two.recomputed_shards == 3
    assert by_two.manifest == by_one.manifest
    assert not list((same.root / ".state" / "dedup" / ".work").iterdir())


def test_a_changed_threshold_signs_nothing_again(mixed: Work) -> None:
    first = dedup(mixed, MIXED)
    assert first.scored_rows == first.manifest.counts.read
    second = dedup(mixed, MIXED.model_copy(update={"threshold": 0.99}))
    assert (second.scored_rows, second.now) == (0, {"verified_pairs": 0})
    assert second.manifest.counts.kept > first.manifest.counts.kept


@dataclasses.dataclass(frozen=True)
class Drop:
    """Drops the documents that it is told to."""

    doc_ids: tuple[str, ...]
    name: str = "drop"
    version: int = 1
    scores: pa.Schema = dataclasses.field(default_factory=lambda: pa.schema([pa.field("dropped", pa.bool_())]))

    @property
    def scoring(self) -> dict[str, Any]:
        return {"doc_ids": list(self.doc_ids)}

    deciding: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def prepare(self) -> None: ...

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"dropped": [doc_id.hex() in self.doc_ids for doc_id in batch["doc_id"].to_pylist()]})

    def decide(self, scores: pa.RecordBatch) -> pa.RecordBatch:
        names = [("gone" if dropped else "") for dropped in scores["dropped"].to_pylist()]
        return pa.RecordBatch.from_arrays([schema.reasons(names)], ["reason"])


def test_a_document_that_comes_alive_is_signed_then(mixed: Work) -> None:
    def after(*doc_ids: bytes) -> tuple[Work, Done]:
        dropped = perform(StageStep(Drop(tuple(value.hex() for value in doc_ids))), mixed, downstream=("dedup",))
        work = dataclasses.replace(mixed, before=(*mixed.before, dropped.manifest))
        return work, dedup(work, MIXED)

    gone = [of("a/0", 0), of("a/0", 5), of("b/0", 2)]
    work, fewer = after(*gone)
    total = mixed.before[0].counts.read
    assert fewer.scored_rows == fewer.manifest.counts.read == total - 3
    found = verdicts(work, fewer)
    assert all(found[doc_id] == (None, None, None, None) for doc_id in gone)
    assert not any(verdict[1] in gone for verdict in found.values())
    _, all_of_them = after()
    assert all_of_them.scored_rows == 3
    plain = dedup(mixed, MIXED)
    assert verdicts(mixed, all_of_them) == verdicts(mixed, plain)


def test_priority_length_and_id_decide_who_stays(make_corpus: MakeCorpus) -> None:
    work = make_corpus({"a/0": ["x y z"], "b/0": ["x  y  z", "x \t y \n\n z"]})

    def kept(**changes: Any) -> bytes:
        order = changes.pop("sources", ("a", "b"))
        found = verdicts(work, dedup(work, DedupConfig(exact="white_space", **changes), order))
        (only,) = [doc_id for doc_id, verdict in found.items() if verdict[0] == ""]
        return only

    assert kept() == of("a/0", 0)
    assert kept(sources=("b", "a")) == of("b/0", 1)
    assert kept(survivor=("length",)) == of("b/0", 1)
    assert kept(survivor=("doc_id",)) == min(of("a/0", 0), of("b/0", 0), of("b/0", 1))
    with pytest.raises(ConfigError, match="'b' of shard b/0 has no priority"):
        kept(sources=("a",))
