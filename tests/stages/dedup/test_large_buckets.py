"""Buckets over the limit: paired again until their kept documents are compared, in linear time, and what is left is said."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.kernels import dedup_oracles as oracle
from tests.stages.dedup.test_dedup import of, verdicts
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.stages.dedup import candidates, rounds
from tokenmill.pipeline.stages.dedup.candidates import Pairs
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import Done, StageStep, Work, perform

MakeCorpus = Callable[..., Work]
LIMIT = 8
# One row a band, and texts that share most n-grams: all documents stand in the same few buckets.
CONFIG = DedupConfig(ngram=2, bands=16, rows=1, threshold=0.8, bucket_limit=LIMIT)


def dedup(work: Work, config: DedupConfig = CONFIG) -> Done:
    return perform(StageStep(Dedup(config=config, sources=("a",))), work, downstream=())


def word(number: int) -> str:
    """A word of letters."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def variants(count: int, changed: int, words: int = 60) -> list[str]:
    """Copies of one text, each with some of its words replaced."""
    rng = np.random.default_rng(5)
    common = [word(number) for number in range(words)]
    made = []
    for number in range(count):
        text = list(common)
        for at in rng.choice(words, changed, replace=False):
            text[at] = word(words + number * words + int(at))
        made.append(" ".join(text))
    return made


def alike(texts: list[str], config: DedupConfig) -> int:
    """How many pairs of the texts reach the threshold."""
    sets = [set(itertools.pairwise(oracle.words(text))) for text in texts]
    pairs = itertools.combinations(sets, 2)
    return sum(len(one & other) / len(one | other) >= config.threshold for one, other in pairs)


def test_kept_documents_of_large_buckets_are_unlike_one_another(
    make_corpus: MakeCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = variants(150, 2)
    work = make_corpus({"a/0": texts[:90], "a/1": texts[90:]})
    ids = [of("a/0", row) for row in range(90)] + [of("a/1", row) for row in range(60)]

    def kept(done: Done, work: Work) -> list[str]:
        found = verdicts(work, done)
        return [text for text, doc_id in zip(texts, ids, strict=True) if found[doc_id][0] == ""]

    done = dedup(work)
    facts = done.manifest.facts
    assert facts["capped_buckets"] > 0
    assert facts["capped_bucket_rounds"] > 1
    assert 0 < facts["uncompared_pairs"] < 200
    assert alike(texts, CONFIG) > 1_000
    assert alike(kept(done, work), CONFIG) == 0
    assert list(problems(work.root, done.manifest, views(work.root, work.before))) == []
    # Without further rounds some stay that are alike, and it is said.
    monkeypatch.setattr(rounds, "ROUNDS", 0)
    other = make_corpus({"a/0": texts[:90], "a/1": texts[90:]}, folder="once")
    once = dedup(other)
    assert alike(kept(once, other), CONFIG) > 0
    assert once.manifest.facts["uncompared_pairs"] > 5_000


def test_boilerplate_around_different_texts_removes_nothing_and_is_reported(make_corpus: MakeCorpus) -> None:
    letters = itertools.count()
    menu = " ".join(word(1_000_000 + number) for number in range(200))
    texts = [f"{menu} {' '.join(word(next(letters)) for _ in range(60))}" for _ in range(200)]
    work = make_corpus({"a/0": texts})
    done = dedup(work)
    facts = done.manifest.facts
    assert done.manifest.counts.kept == 200
    assert facts["capped_bucket_rounds"] == 0
    assert facts["uncompared_buckets"] == facts["capped_buckets"] > 0
    # Each document has at most limit / 2 + 1 pairs per band, but for the first, and the rest is said.
    assert facts["verified_pairs"] <= (200 * (LIMIT // 2 + 1) + LIMIT**2 // 2) * CONFIG.scheme.bands
    assert facts["uncompared_pairs"] > 0


def together(members: int, limit: int, folder: Path) -> Pairs:
    """The pairs of one bucket of so many documents, and of as many of one document each."""
    keys = np.concatenate([np.full(members, 7, dtype=np.uint64), np.arange(8, members + 8, dtype=np.uint64)])
    ranks = np.concatenate([np.arange(members)[::-1], np.arange(members)]).astype(np.uint32)
    return candidates.pair([runs.write(folder / "bands", keys, ranks)], limit, folder, InProcess())


def test_a_bucket_of_a_million_has_linearly_many_pairs_in_runs_of_bounded_size(tmp_path: Path) -> None:
    members, limit = 1_000_000, 16
    pairs = together(members, limit, tmp_path)
    assert (pairs.buckets, pairs.members) == (1, members)
    assert pairs.total == (members - limit) * 9 + limit * (limit - 1) // 2
    assert pairs.total + pairs.left_out == members * (members - 1) // 2
    assert all(run.rows <= candidates.PAIRS for run in pairs.runs)
    # The fewer are kept, the more of them each is compared with, up to all; the whole costs no more.
    kept = np.zeros(members, dtype=np.bool_)
    kept[:: members // 4_000] = True
    runs.save(tmp_path / "kept", kept)
    again = candidates.pair_again(pairs.capped, tmp_path / "kept", 1, limit, tmp_path, InProcess())
    assert again.total + again.left_out == 4_000 * 3_999 // 2
    assert (again.buckets, again.members) == (1, 4_000)
    assert pairs.total / 2 < again.total < pairs.total
    kept[: members // 2] = False
    runs.save(tmp_path / "kept", kept)
    last = candidates.pair_again(pairs.capped, tmp_path / "kept", 2, limit, tmp_path, InProcess())
    assert (last.buckets, last.members, last.left_out, last.total) == (0, 0, 0, 2_000 * 1_999 // 2)


def test_added_documents_change_no_old_decision(make_corpus: MakeCorpus) -> None:
    """Also where a bucket grows over the limit by them."""
    texts = variants(150, 2)
    was: dict[bytes, tuple[str, bytes | None, float | None]] = {}
    for count in (5, 9, 40):
        # One document a shard and a source, so that the survivor order is theirs.
        sources = {f"s{number:03d}/0": [text] for number, text in enumerate(texts[:count])}
        work = make_corpus(sources, folder=str(count))
        stage = Dedup(config=CONFIG, sources=tuple(name.split("/")[0] for name in sources))
        done = perform(StageStep(stage), work, downstream=())
        now = {doc_id: verdict[:3] for doc_id, verdict in verdicts(work, done).items()}
        assert {doc_id: now[doc_id] for doc_id in was} == was
        was = now
    assert done.manifest.facts["capped_buckets"] > 0
    assert done.manifest.facts["capped_bucket_rounds"] > 0


def test_ranges_of_any_size_make_the_same_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    ranks = np.repeat(np.arange(500, dtype=np.uint32), 3)
    keys = rng.integers(0, 2**62, 300, dtype=np.uint64)[rng.zipf(1.5, len(ranks)) % 300]

    def found(parts: int, records: int, most: int) -> tuple[set[int], int, int, int]:
        monkeypatch.setattr(candidates, "RECORDS", records)
        monkeypatch.setattr(candidates, "PAIRS", most)
        folder = tmp_path / f"{parts}-{records}-{most}"
        made = []
        for number, chosen in enumerate(np.array_split(rng.permutation(len(ranks)), parts)):
            order = chosen[np.argsort(keys[chosen])]
            made.append(runs.write(folder / f"bands-{number}", keys[order], ranks[order]))
        pairs = candidates.pair(made, LIMIT, folder, InProcess())
        assert len(pairs.runs) == 1 or parts > 1
        (read,) = runs.read(pairs.runs, runs.ALL, ["<u8"])
        return set(read.tolist()), pairs.buckets, pairs.members, pairs.left_out

    whole = found(1, 1_000_000, 1_000_000)
    assert whole[1] > 0
    assert found(7, 100, 1_000_000) == found(3, 1, 20) == found(20, 1_000_000, 50) == whole
