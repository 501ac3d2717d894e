"""Packing again: after a fault, a loss or a change, by one or by many, the same bytes, and no more work than that takes."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tokens.packing import MakeCorpus, Pack, dropping, layout, published
from tokenmill.pipeline.base import executor, files, schema
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.stages.step import perform
from tokenmill.pipeline.tokens import TokenStore, problems
from tokenmill.pipeline.tokens.pack import PackStep, step
from tokenmill.tokenizer.encode import FastEncoder


def test_workers_make_no_difference(make_corpus: MakeCorpus, texts: list[str], small_encoder: FastEncoder) -> None:
    step = PackStep(config=PackConfig(shard_tokens=1000, validation_fraction=0.2), encoder=small_encoder)
    one, two = make_corpus(layout(texts), folder="one"), make_corpus(layout(texts), folder="two")
    perform(step, one, downstream=())
    with executor.local(2) as pool:
        perform(step, dataclasses.replace(two, executor=pool), downstream=())
    assert len(published(one.root)) > 8
    assert published(one.root) == published(two.root)


def test_a_removed_file_is_made_again(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    work = make_corpus(layout(texts))
    settings = {"shard_tokens": 1000, "validation_fraction": 0.2}
    assert pack(work, **settings).recomputed_shards == 4
    wanted = published(work.root)
    for name in [name for name in wanted if not name.endswith("manifest.json")]:
        (work.root / name).unlink()
        assert pack(work, **settings).recomputed_shards == 0, name
        assert published(work.root) == wanted, name
    for path in sorted((work.root / ".state/pack").rglob("*1.*")):
        path.unlink()
        (work.root / "tokens/manifest.json").unlink()
        assert pack(work, **settings).recomputed_shards == 1, path
        assert published(work.root) == wanted, path


def test_a_changed_shard_is_encoded_and_no_other(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    work = make_corpus(layout(texts))
    pack(work, shard_tokens=1000)
    assert pack(work, shard_tokens=2000, validation_fraction=0.5).recomputed_shards == 0, "settings of the layout only"
    changed = {**layout(texts), "a/2": ["another", *texts[41:60]]}
    assert pack(make_corpus(changed), shard_tokens=1000).recomputed_shards == 1
    fresh = make_corpus(changed, folder="fresh")
    pack(fresh, shard_tokens=1000)
    kept = set(TokenStore.open(work.root / "tokens").manifest.files) | {"tokens/manifest.json"}
    assert {name: value for name, value in published(work.root).items() if name in kept} == published(fresh.root)


def test_what_is_gone_is_not_kept(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    pack(make_corpus(layout(texts)))
    work = make_corpus({"a/0": texts[:20]})
    pack(work)
    left = [path.relative_to(work.root).as_posix() for path in sorted((work.root / ".state").rglob("*")) if path.is_file()]
    assert left == [
        ".state/pack/a/0.bin",
        ".state/pack/a/0.docs.parquet",
        ".state/pack/a/0.json",
        ".state/tokens/train/00000.json",
    ]


@pytest.mark.parametrize("most", [10, pytest.param(None, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["eio", "short"])
def test_a_fault_somewhere(
    make_corpus: MakeCorpus, pack: Pack, texts: list[str], kind: files.FaultKind, most: int | None
) -> None:
    """At ten operations of a small run; in the soak, at every one."""
    settings = {"shard_tokens": 1000, "validation_fraction": 0.3}
    small = {"a/0": texts[:6], "a/1": texts[6:12]}
    undisturbed = make_corpus(small, folder="undisturbed")
    files.inject(None)
    pack(undisturbed, **settings)
    operations, wanted = files.operations(), published(undisturbed.root)
    for at in range(operations) if most is None else random.Random(kind).sample(range(operations), most):
        work = make_corpus(small, folder=f"at{at}")
        files.inject(Fault(at=at, kind=kind))
        try:
            with pytest.raises(OSError, match="Input/output|short write"):
                pack(work, **settings)
        finally:
            files.inject(None)
        pack(work, **settings)
        assert published(work.root) == wanted, f"another result after {kind} at operation {at}"


def test_shuffling_again_encodes_nothing(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    work = make_corpus(layout(texts))
    pack(work, shuffle=True)
    before = published(work.root)
    assert pack(work, shuffle=False).recomputed_shards == 0
    assert published(work.root) != before
    assert pack(work, shuffle=True).recomputed_shards == 0
    assert published(work.root) == before


def test_a_document_that_is_gone_moves_no_other(make_corpus: MakeCorpus, pack: Pack, texts: list[str]) -> None:
    whole, less = make_corpus(layout(texts), folder="whole"), make_corpus(layout(texts), folder="less")
    pack(whole, shuffle=True)
    reasons: dict[str, list[str | None]] = {name: [""] * 20 for name in layout(texts)}
    reasons["a/1"][7] = "short"
    pack(dropping(less, reasons), shuffle=True)
    gone = schema.doc_id("a", "1:7")
    rows = [
        TokenStore.open(work.root / "tokens").split("train").documents_table()["doc_id"].to_pylist() for work in (whole, less)
    ]
    assert [row for row in rows[0] if row != gone] == rows[1]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_what_was_encoded_and_changed_meanwhile_is_not_packed(
    make_corpus: MakeCorpus, pack: Pack, texts: list[str], damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = make_corpus(layout(texts))
    path = work.root / ".state/pack/a/2.bin"
    planned = step.plan

    def later(*arguments: object) -> object:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
        if damage == "gone":
            path.unlink()
        return planned(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(step, "plan", later)
    with pytest.raises(CorruptFile, match="a/2.bin"):
        pack(work, shuffle=True)
    monkeypatch.undo()
    pack(work, shuffle=True)
    assert not list(problems(work.root / "tokens"))


def test_two_packers_in_one_folder(make_corpus: MakeCorpus, pack: Pack, tmp_path: Path) -> None:
    """The second, in another process, says who holds the folder, and changes nothing."""
    work = make_corpus({"a/0": ["ab"]})
    script = "import sys; from pathlib import Path; from tokenmill.pipeline.base import files\n"
    script += "with files.lock(Path(sys.argv[1])): print('in')"
    with files.lock(work.root):
        pack(work)
        before = published(work.root)
        second = subprocess.run(
            [sys.executable, "-c", script, work.root], check=False, capture_output=True, text=True, timeout=60
        )
    assert second.returncode != 0
    assert f"Locked: {work.root} is locked: process {os.getpid()} on" in second.stderr
    assert published(work.root) == before
    third = subprocess.run([sys.executable, "-c", script, work.root], check=True, capture_output=True, text=True, timeout=60)
    assert third.stdout == "in\n"
