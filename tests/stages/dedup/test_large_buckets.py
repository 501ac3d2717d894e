"""Buckets over the limit: paired again until their kept documents are compared, in linear time, and what is left is said."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import dedup_oracles as oracle
from tests.stages.dedup.test_dedup import of, verdicts
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.stages.dedup import candidates, rounds
from tokenmill.pipeline.stages.dedup.buckets import blocks
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


def means(folder: Path, memory_bytes: int = 2**30) -> Means:
    return Means(folder=folder, executor=InProcess(), memory_bytes=memory_bytes)


def together(members: int, limit: int, using: Means) -> Pairs:
    """The pairs of one bucket of so many documents, and of as many of one document each."""
    keys = np.concatenate([np.full(members, 7, dtype=np.uint64), np.arange(8, members + 8, dtype=np.uint64)])
    ranks = np.concatenate([np.arange(members)[::-1], np.arange(members)]).astype(np.uint64)
    return candidates.pair([runs.write_sorted(using.folder / "bands", keys, ranks, by=2)], limit, using)


def bits(kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The ranks that are removed, a bit for each."""
    return np.packbits(~kept, bitorder="little")


def test_a_bucket_of_a_million_has_linearly_many_pairs_in_runs_of_bounded_size(tmp_path: Path) -> None:
    members, limit = 1_000_000, 16
    using = means(tmp_path, 2**26)
    pairs = together(members, limit, using)
    assert (pairs.buckets, pairs.members) == (1, members)
    assert pairs.total == (members - limit) * 9 + limit * (limit - 1) // 2
    assert pairs.total + pairs.left_out == members * (members - 1) // 2
    assert all(run.rows <= using.rows(candidates.BAND) for run in pairs.runs)
    # The fewer are kept, the more of them each is compared with, up to all; the whole costs no more.
    kept = np.zeros(members, dtype=np.bool_)
    kept[:: members // 4_000] = True
    runs.save(tmp_path / "removed", bits(kept))
    again = candidates.pair_again(pairs.capped, tmp_path / "removed", 1, limit, using)
    assert again.total + again.left_out == 4_000 * 3_999 // 2
    assert (again.buckets, again.members) == (1, 4_000)
    assert pairs.total / 2 < again.total < pairs.total
    kept[: members // 2] = False
    runs.save(tmp_path / "removed", bits(kept))
    last = candidates.pair_again(pairs.capped, tmp_path / "removed", 2, limit, using)
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


def test_ranges_of_any_size_make_the_same_pairs(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    ranks = np.repeat(np.arange(500, dtype=np.uint64), 3)
    keys = rng.integers(0, 2**62, 300, dtype=np.uint64)[rng.zipf(1.5, len(ranks)) % 300]
    removed = tmp_path / "removed"
    runs.save(removed, bits(rng.random(500) < 0.2))

    def found(parts: int, memory_bytes: int) -> list[tuple[set[tuple[int, int]], int, int, int]]:
        using = means(tmp_path / f"{parts}-{memory_bytes}", memory_bytes)
        made = []
        for number, chosen in enumerate(np.array_split(rng.permutation(len(ranks)), parts)):
            made.append(runs.write_sorted(using.folder / f"bands-{number}", keys[chosen], ranks[chosen], by=2))
        pairs = candidates.pair(made, LIMIT, using)
        again = candidates.pair_again(pairs.capped, removed, 1, LIMIT, using)
        assert len(pairs.runs) == 1 or memory_bytes < 2**30
        return [
            (set(zip(*(side.tolist() for side in runs.read(one.runs, runs.ALL, candidates.PAIR)), strict=True)), *counts)
            for one in (pairs, again)
            for counts in [(one.buckets, one.members, one.left_out)]
        ]

    whole = found(1, 2**30)
    assert whole[0][1] > whole[1][1] > 0
    assert found(7, 10_000) == found(3, 100) == found(20, 2**30) == whole


@given(st.integers(0, 2**32), st.integers(2, 9), st.booleans(), st.lists(st.integers(0, 60), max_size=6))
@settings(max_examples=150, deadline=None)
def test_where_blocks_end_changes_nothing(seed: int, limit: int, again: bool, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    keys = np.sort(rng.integers(0, rng.integers(1, 6), rng.integers(1, 60))).astype(np.uint64)
    sizes = np.unique(keys, return_counts=True)[1]
    ranks = np.concatenate([np.sort(rng.permutation(80)[:size]) for size in sizes]).astype(np.uint64)
    removed = bits(rng.random(80) < rng.random()) if again else None

    def found(ends: list[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[int]]:
        parts = [[keys[part], ranks[part]] for part in np.split(np.arange(len(keys)), sorted(ends)) if len(part)]
        pairs, over, counts = [], [], np.zeros(3, dtype=np.int64)
        for block in blocks(parts, limit, len(keys), removed):
            counts += (block.buckets, block.members, block.left_out)
            over += zip(*(column.tolist() for column in block.over), strict=True)
            for at in range(block.at, len(block.ranks)):
                others = block.ranks[at - block.near[at] : at].tolist()
                first = [int(block.first[at])] if block.near[at] < block.place[at] else []
                pairs += [(int(block.ranks[at]), other) for other in first + others]
        return sorted(pairs), over, counts.tolist()

    assert found(cuts) == found([])
