"""Documents that are added: nothing old is signed or compared again, no old decision changes, and all is as from nothing."""

from __future__ import annotations

import dataclasses
import shutil
import string
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.stages.dedup.test_dedup import verdicts
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.stages.dedup import known, rounds
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.stage import Dedup
from tokenmill.pipeline.stages.step import Done, StageStep, Work, perform

MakeCorpus = Callable[..., Work]
Texts = dict[str, list[str]]
CONFIG = DedupConfig(threshold=0.59)
SOURCES = ("a", "b", "c")
FOLDERS = ("dedup", ".state")


def texts() -> Texts:
    """Copies near and exact, within and across shards and sources."""
    rng = np.random.default_rng(8)
    made: Texts = {"a/0": [], "a/1": [], "b/0": [], "c/0": []}
    for _ in range(30):
        words = [string.ascii_lowercase[at] * 2 for at in rng.integers(0, 26, 40)]
        for copy in range(4):
            changed = list(words)
            changed[int(rng.integers(40))] = "wxyz"[copy]
            made[sorted(made)[int(rng.integers(4))]] += [" ".join(changed)] * int(rng.integers(1, 3))
    # Alone in its shard, so that nothing added is like it.
    made["a/2"] = [f"{letter} {letter * 2} {letter * 3} nothing is like this at all" for letter in "pqr"]
    return dict(sorted(made.items()))


def within(whole: Work, shards: Sequence[str]) -> Work:
    """The same folder, with some of its shards."""
    (collected,) = whole.before
    chosen = tuple(shard for shard in collected.shards if shard.name in shards)
    return dataclasses.replace(whole, before=(dataclasses.replace(collected, shards=chosen),))


def dedup(work: Work, config: DedupConfig = CONFIG) -> Done:
    return perform(StageStep(Dedup(config=config, sources=SOURCES)), work, downstream=())


def from_nothing(work: Work) -> Done:
    for folder in FOLDERS:
        shutil.rmtree(work.root / folder)
    return dedup(work)


@pytest.fixture
def made() -> Texts:
    return texts()


def test_added_sources_leave_old_decisions_and_equal_a_build_from_nothing(make_corpus: MakeCorpus, made: Texts) -> None:
    whole = make_corpus(made)
    old = within(whole, ["a/0", "a/1", "a/2", "b/0"])
    before = dedup(old)
    was = verdicts(old, before)
    assert before.now["verified_pairs"] == before.manifest.facts["verified_pairs"] > 0
    after = dedup(whole)
    now = verdicts(whole, after)
    # What was removed is removed for the same document; clusters grow, and nothing else changes.
    assert {doc_id: now[doc_id][:3] for doc_id in was} == {doc_id: verdict[:3] for doc_id, verdict in was.items()}
    assert any(now[doc_id][3] > was[doc_id][3] for doc_id in was)
    assert after.scored_rows == len(made["c/0"])
    assert after.now["verified_pairs"] == after.manifest.facts["verified_pairs"] - before.manifest.facts["verified_pairs"]
    assert 0 < after.now["verified_pairs"] < before.now["verified_pairs"]
    unchanged = {shard.name for shard in before.manifest.shards} & {
        shard.name for shard in after.manifest.shards if shard in before.manifest.shards
    }
    assert "a/2" in unchanged
    assert after.recomputed_shards == len(made) - len(unchanged)
    again = from_nothing(whole)
    assert again.manifest == after.manifest
    assert again.now["verified_pairs"] == after.manifest.facts["verified_pairs"]


def test_added_shards_of_an_old_source_equal_a_build_from_nothing(make_corpus: MakeCorpus, made: Texts) -> None:
    whole = make_corpus(made)
    dedup(within(whole, ["a/0", "b/0", "c/0"]))
    after = dedup(whole)
    assert after.scored_rows == len(made["a/1"]) + len(made["a/2"])
    assert after.now["verified_pairs"] < after.manifest.facts["verified_pairs"]
    assert from_nothing(whole).manifest == after.manifest


def test_a_removed_source_equals_a_build_without_it_and_is_forgotten(make_corpus: MakeCorpus, made: Texts) -> None:
    whole = make_corpus(made)
    dedup(whole)
    fewer = within(whole, ["a/0", "c/0"])
    done = dedup(fewer)
    assert (done.scored_rows, done.now["verified_pairs"]) == (0, 0)
    stored = known.load(whole.root, manifest.fingerprint("dedup", 2, Dedup(config=CONFIG, sources=SOURCES).scoring, {}))
    assert sum(run.rows for run in stored) == done.manifest.facts["verified_pairs"]
    assert from_nothing(fewer).manifest == done.manifest


def test_a_changed_document_is_compared_anew(make_corpus: MakeCorpus, made: Texts) -> None:
    before = dedup(make_corpus(made))
    changed = {**made, "b/0": [made["b/0"][0] + " more", *made["b/0"][1:]]}
    work = make_corpus(changed)
    after = dedup(work)
    assert 0 < after.now["verified_pairs"] < before.now["verified_pairs"]
    assert from_nothing(work).manifest == after.manifest


def test_the_same_verdicts_are_not_written_again(make_corpus: MakeCorpus, made: Texts) -> None:
    work = make_corpus(made)
    first = dedup(work)
    # A threshold at which everything is decided as before.
    second = dedup(work, CONFIG.model_copy(update={"threshold": 0.5901}))
    assert second.manifest.shards == first.manifest.shards
    assert (second.recomputed_shards, second.now["verified_pairs"]) == (0, 0)


@pytest.mark.parametrize("damage", ["record", "cut", "byte", "missing"])
def test_damaged_similarities_are_computed_again(make_corpus: MakeCorpus, made: Texts, damage: str) -> None:
    work = make_corpus(made)
    first = dedup(work)
    folder = work.root / ".state" / "dedup" / ".similarities"
    stored = folder / ("record.json" if damage == "record" else "0")
    data = bytearray(stored.read_bytes())
    data[-10] ^= 1
    stored.write_bytes(data[:-8] if damage == "cut" else data)
    if damage == "missing":
        stored.unlink()
    second = dedup(work, CONFIG.model_copy(update={"threshold": 0.5901}))
    assert second.now == first.now
    assert second.manifest.shards == first.manifest.shards


def test_other_signature_settings_find_no_similarities(make_corpus: MakeCorpus, made: Texts) -> None:
    work = make_corpus(made)
    dedup(work)
    other = dedup(work, CONFIG.model_copy(update={"seed": 2}))
    assert other.now["verified_pairs"] == other.manifest.facts["verified_pairs"] > 0


def test_ranges_of_any_size_make_the_same_verdicts(
    make_corpus: MakeCorpus, made: Mapping[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dedup(make_corpus(made))
    monkeypatch.setattr(rounds, "RANGE", 5)
    monkeypatch.setattr(known, "ROWS", 7)
    work = make_corpus(made, folder="other")
    second = dedup(work)
    assert second.manifest == first.manifest
    stored = [path for path in (work.root / ".state" / "dedup" / ".similarities").iterdir() if path.name != "record.json"]
    assert len(stored) > 3
    third = dedup(work, CONFIG.model_copy(update={"bucket_limit": 63}))
    assert third.now["verified_pairs"] == 0
    assert not list(Path(work.root, ".state", "dedup", ".work").iterdir())
