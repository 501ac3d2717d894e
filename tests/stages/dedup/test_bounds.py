"""Little memory and few open files change no byte; the worst clusters take linear work, and what is not compared is counted."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bench import planted
from tests.bench.memory import watched
from tests.conftest import write_corpus
from tests.stages.dedup.test_large_buckets import CONFIG, LIMIT, dedup, variants
from tokenmill.pipeline.base import executor
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.stages.dedup import rounds
from tokenmill.pipeline.stages.dedup.check import problems
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.step import Done, Work


def published(work: Work, done: Done) -> dict[str, Any]:
    digests = {name: hashlib.sha256((work.root / name).read_bytes()).hexdigest() for name, _ in done.manifest.entries()}
    return {**digests, **done.manifest.facts, **done.manifest.counts.dropped}


def test_little_memory_and_a_fan_in_of_four_give_the_same_bytes(
    make_corpus: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*variants(25, 2), *variants(8, 1, 30), "", "short", "short", "", *planted.texts(0, 4).to_pylist()]
    sources = {f"a/{number}": texts[number::5] + texts[number : number + 3] for number in range(5)}
    bounds: tuple[Mapping[str, int], ...] = ({}, {"memory_bytes": 20_000, "fan_in": 4})
    found = []
    for number, bound in enumerate(bounds):
        if bound:
            monkeypatch.setattr(rounds, "RANGE", 100)
        work = dataclasses.replace(make_corpus(sources, folder=str(number)), **bound)
        found.append(published(work, dedup(work)))
        assert not list((work.root / ".state/dedup/.work").glob("*"))
    assert found[0]["capped_bucket_rounds"] > 0
    assert found[0]["exact_duplicate"] > 0
    assert found[1] == found[0]


def clustered(root: Path, copies: int, config: DedupConfig, **bounds: int) -> tuple[Work, Done, int]:
    """Deduplicate so many copies of a text, with one of its 200 words changed in each; and the largest process, in bytes."""
    texts = variants(copies, 1, 200)
    work = write_corpus(root, {f"a/{at:06d}": texts[at : at + 5_000] for at in range(0, copies, 5_000)})
    with executor.local(2) as pool, watched() as peak:
        work = dataclasses.replace(work, executor=pool, **bounds)
        return work, dedup(work, config), peak.worker


def linear(done: Done, documents: int, config: DedupConfig) -> bool:
    """Whether no more pairs were compared than a document may have in each band, in each round."""
    most = documents * (config.bucket_limit // 2 + 1) + config.bucket_limit**2
    return bool(
        done.manifest.facts["verified_pairs"] <= most * config.scheme.bands * (1 + done.manifest.facts["capped_bucket_rounds"])
    )


def test_a_cluster_of_near_copies_takes_linear_work(make_corpus: Callable[..., Work]) -> None:
    texts = variants(300, 2)
    work = make_corpus({"a/0": texts[:150], "a/1": texts[150:]})
    done = dedup(work)
    facts = done.manifest.facts
    assert linear(done, 300, CONFIG)
    assert facts["capped_buckets"] > 0
    assert facts["capped_bucket_members"] > 300
    assert 0 < facts["uncompared_pairs"] < 300 * LIMIT
    assert done.manifest.counts.kept < 50
    assert list(problems(work.root, done.manifest, views(work.root, work.before))) == []


@pytest.mark.soak
def test_a_cluster_of_100_000_near_copies(tmp_path: Path) -> None:
    memory = 256 * 2**20
    work, done, largest = clustered(tmp_path, 100_000, DedupConfig(), memory_bytes=memory)
    assert linear(done, 100_000, DedupConfig())
    assert done.manifest.facts["capped_buckets"] > 0
    assert done.manifest.counts.kept < 5_000
    assert largest < memory + 200 * 2**20
    assert list(problems(work.root, done.manifest, views(work.root, work.before), most=2_000)) == []
