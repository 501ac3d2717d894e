"""Gathering encoded shards in rounds: the same store for any fan-in, any memory and any number of workers."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.tokens.conftest import ByteEncoder
from tests.tokens.packing import MakeCorpus, Pack, published
from tokenmill.pipeline.base import executor, files
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.tokens import TokenStore, forget, problems
from tokenmill.pipeline.tokens.pack import gathered

SETTINGS = {"shuffle": True, "shard_tokens": 1000, "validation_fraction": 0.2}


def many(texts: Sequence[str]) -> dict[str, Sequence[str]]:
    """14 shards of two sources, of which one is empty."""
    return {f"{'ab'[number % 4 == 3]}/{number:02d}": texts[6 * number : 6 * number + 6] for number in range(14)}


def few(work: Work, fan_in: int = 4, memory_bytes: int = 4_000) -> Work:
    return dataclasses.replace(work, fan_in=fan_in, memory_bytes=memory_bytes)


@pytest.fixture
def wanted(make_corpus: MakeCorpus, pack: Pack, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The store without any gathering."""
    monkeypatch.setattr(gathered, "READ_AGAIN", 10**9)
    work = make_corpus(many(texts), folder="direct")
    pack(work, **SETTINGS)
    monkeypatch.undo()
    return published(work.root)


@pytest.mark.parametrize(("fan_in", "memory_bytes", "workers"), [(64, 2**30, 1), (4, 4_000, 1), (2, 100, 1), (4, 4_000, 2)])
def test_the_store_is_the_same(
    make_corpus: MakeCorpus,
    pack: Pack,
    texts: list[str],
    wanted: dict[str, str],
    fan_in: int,
    memory_bytes: int,
    workers: int,
) -> None:
    work = few(make_corpus(many(texts)), fan_in, memory_bytes)
    with executor.local(workers) as pool:
        if workers == 1:
            pack(dataclasses.replace(work, executor=pool), **SETTINGS)
            assert published(work.root) == wanted
        else:
            # Workers cannot import an encoder of the tests: what they encode is done.
            pack(work, **SETTINGS)
            for path in (work.root / ".state/tokens").rglob("*.json"):
                path.unlink()
            (work.root / "tokens/manifest.json").unlink()
            pack(dataclasses.replace(work, executor=pool), **SETTINGS)
            assert published(work.root) == wanted
    assert not list(problems(work.root / "tokens", decode=ByteEncoder.decode_bytes))
    assert not list((work.root / ".state/pack/.gathered").iterdir())


def test_only_token_shards_that_are_missing_are_laid_out(
    make_corpus: MakeCorpus, pack: Pack, texts: list[str], wanted: dict[str, str]
) -> None:
    work = few(make_corpus(many(texts)))
    pack(work, **SETTINGS)
    for name in ("train/00001.bin", "val/00000.idx"):
        (work.root / "tokens" / name).unlink()
    made: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tokenmill.pipeline.tokens.pack.packed.write_shard", _noting(made))
        pack(work, **SETTINGS)
    assert made == ["train/1", "val/0"]
    assert published(work.root) == wanted


def _noting(made: list[str]) -> Callable[..., Any]:
    from tokenmill.pipeline.tokens.write import write_shard

    def write(root: Path, split: Any, number: int, *rest: Any) -> Any:
        made.append(f"{split}/{number}")
        return write_shard(root, split, number, *rest)

    return write


def test_forgotten_documents_stay_out(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    stores = []
    for name, change in (("direct", lambda work: work), ("gathered", few)):
        work = change(make_corpus(many(texts), folder=name))
        pack(work, **SETTINGS)
        first = TokenStore.open(work.root / "tokens").split("train").documents_table()["doc_id"].to_pylist()[3:9]
        with files.lock(work.root):
            forget.forget(work.root, [forget.request_ids("doc_id", one.hex(), [one.hex()]) for one in first])
        pack(work, **SETTINGS)
        store = TokenStore.open(work.root / "tokens").split("train").documents_table()["doc_id"].to_pylist()
        assert not set(first) & set(store)
        stores.append({path: hashed for path, hashed in published(work.root).items() if not path.endswith(".json")})
    assert stores[0] == stores[1]


def test_what_is_opened_and_sent_grows_with_the_number_of_shards_alone(make_corpus: MakeCorpus, pack: Pack) -> None:
    """Every file is opened as often, and every task names as many files, for three times the shards."""
    texts = [f"{number} of many texts that are long enough " * 3 for number in range(8)]
    for shards in (20, 60):
        work = few(make_corpus({f"a/{number:03d}": texts[:4] for number in range(shards)}, folder=str(shards)), 8, 2**20)
        counted = Tasks()
        pack(dataclasses.replace(work, executor=counted), **{**SETTINGS, "shard_tokens": 2000})
        assert max(counted.parts) <= 8
        token_shards = len(list((work.root / "tokens").rglob("*.bin")))
        assert token_shards > 4
        assert sum(counted.parts) <= shards * 8 / 7 + token_shards * 8


class Tasks:
    """An executor that notes how many files each task names."""

    workers = 1

    def __init__(self) -> None:
        self.parts: list[int] = []
        self.inside = InProcess()

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any], **options: Any) -> list[Any]:
        self.parts += [len(getattr(task, "parts", ())) for task in tasks]
        return self.inside.map(function, tasks, **options)


def test_a_gathered_file_that_is_cut_is_found(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    work = few(make_corpus(many(texts)))
    with pytest.MonkeyPatch.context() as patched:
        whole = gathered._gather

        def cutting(task: Any) -> Any:
            into = whole(task)
            path = work.root / into.payload
            path.write_bytes(path.read_bytes()[:-2])
            return into

        patched.setattr(gathered, "_gather", cutting)
        with pytest.raises(CorruptFile, match="gathered"):
            pack(work, **SETTINGS)
    pack(work, **SETTINGS)
    assert not list(problems(work.root / "tokens"))


@pytest.mark.parametrize("most", [3, pytest.param(None, marks=pytest.mark.soak)])
def test_a_fault_while_gathering(make_corpus: MakeCorpus, pack: Pack, texts: list[str], most: int | None) -> None:
    """At three operations of a small run; in the soak, at every one."""
    small = {f"a/{number}": texts[2 * number : 2 * number + 2] for number in range(5)}
    undisturbed = few(make_corpus(small, folder="undisturbed"), 2)
    files.inject(None)
    pack(undisturbed, **SETTINGS)
    operations, wanted = files.operations(), published(undisturbed.root)
    for at in range(operations) if most is None else random.Random(1).sample(range(operations // 3, operations), most):
        work = few(make_corpus(small, folder=f"at{at}"), 2)
        files.inject(Fault(at=at, kind="eio"))
        try:
            with pytest.raises(OSError, match="Input/output"):
                pack(work, **SETTINGS)
        finally:
            files.inject(None)
        pack(work, **SETTINGS)
        assert published(work.root) == wanted, f"another result after a fault at operation {at}"
        assert not list((work.root / ".state/pack/.gathered").iterdir())
