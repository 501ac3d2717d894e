"""Splits, caps, ids and reruns: the same bytes whatever the order of work, and little done twice."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.base.test_shards import flipped_pages
from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.errors import StaleInput
from tokenmill.pipeline.base.executor import InProcess, local
from tokenmill.pipeline.collect import inputs, plan, split, step, unique
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.stages.step import Work


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """120 small files and one of JSON Lines that is divided."""
    rng = random.Random(5)
    for number in range(120):
        path = tmp_path / "in" / f"d{number % 7}" / f"{number:03d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number} " + "word " * rng.randrange(10, 90))
    rows = [json.dumps({"text": f"row {number} " + "more " * 30}) for number in range(60)]
    (tmp_path / "in" / "d3" / "rows.jsonl").write_text("\n".join(rows))
    return tmp_path / "in"


SHARD_BYTES = 3_000


def test_workers_and_listing_order_do_not_matter(folder, collect, monkeypatch):
    caps = {"shard_bytes": SHARD_BYTES, "max_text_bytes": 20_000}
    alone = collect(folder, out="alone", **caps).published()
    with local(2) as pool:
        assert collect(folder, out="two", executor=pool, **caps).published() == alone
    scandir = os.scandir

    class Shuffled(contextlib.AbstractContextManager):
        def __init__(self, folder):
            with scandir(folder) as found:
                entries = list(found)
            random.Random(1).shuffle(entries)
            self.entries = iter(entries)

        def __exit__(self, *failure):
            return None

        def __iter__(self):
            return self

        def __next__(self):
            return next(self.entries)

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert collect(folder, out="shuffled", **caps).published() == alone


def test_the_order_is_that_of_names_and_positions(folder, collect):
    places = [json.loads(row["metadata"]) for row in collect(folder, shard_bytes=SHARD_BYTES).documents()]
    assert [(p["path"].encode(), p.get("record", 0)) for p in places] == sorted(
        (p["path"].encode(), p.get("record", 0)) for p in places
    )
    assert len(places) == 180


def test_a_new_file_changes_at_most_the_group_it_falls_in(folder, collect):
    before = collect(folder, shard_bytes=SHARD_BYTES)
    (folder / "d2" / "050b.txt").write_text("something new " * 20)
    after = collect(folder, shard_bytes=SHARD_BYTES)
    fresh = collect(folder, shard_bytes=SHARD_BYTES, out="fresh")
    assert after.published() == fresh.published()
    assert after.done.recomputed_shards <= 2
    old = {entry.sha256 for shard in before.done.manifest.shards for entry in shard.files.values()}
    new = {entry.sha256 for shard in after.done.manifest.shards for entry in shard.files.values()}
    assert len(old - new) <= 1
    assert len(old) > 15


def test_files_edited_and_removed_leave_nothing_behind(folder, collect):
    collect(folder, shard_bytes=SHARD_BYTES)
    (folder / "d1" / "001.txt").write_text("edited")
    (folder / "d4" / "004.txt").unlink()
    after = collect(folder, shard_bytes=SHARD_BYTES)
    assert after.published() == collect(folder, shard_bytes=SHARD_BYTES, out="fresh").published()
    there = {
        str(Path(path).relative_to(after.root)) for path in glob.glob(f"{after.root}/documents/**/*.parquet", recursive=True)
    }
    assert there == {name for shard in after.done.manifest.shards for name in shard.files}


@pytest.mark.parametrize("kind", ["documents/*/*.parquet", ".state/collect/*/*.json", ".state/collect/*/*.dropped.parquet"])
@pytest.mark.parametrize("harm", ["remove", "flip"])
def test_what_is_lost_or_damaged_is_made_again(folder, collect, kind, harm):
    (folder / "void.txt").write_text("")
    whole = collect(folder, shard_bytes=SHARD_BYTES)
    published = whole.published()
    path = sorted(whole.root.glob(kind))[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if harm == "flip":
        path.write_bytes(data)
    (whole.root / "collect/manifest.json").unlink()
    again = collect(folder, shard_bytes=SHARD_BYTES)
    assert again.published() == published
    assert 1 <= again.done.recomputed_shards <= 3


def test_pages_of_dropped_and_quarantined_records_have_checksums(folder, collect):
    (folder / "empty.txt").write_text("")
    (folder / "broken.jsonl").write_text('{"text": "cut')
    done = collect(folder)
    names = [name for name in done.done.manifest.files if name.endswith(".parquet")]
    assert len(names) == 2
    for name in names:
        changed = list(flipped_pages((done.root / name).read_bytes()))
        assert len(changed) == len(schema.REJECTED)
        for data in changed:
            with pytest.raises(OSError, match="CRC checksum verification failed"):
                pq.read_table(pa.BufferReader(data), page_checksum_verification=True)


def test_caps_are_kept_and_everything_is_counted(folder, collect):
    capped = collect(folder, shard_bytes=SHARD_BYTES, max_text_bytes=10_000, out="bytes")
    assert 8_000 <= capped.counts.bytes_kept <= 10_000
    assert capped.counts.dropped.keys() == {"over_cap"}
    few = collect(folder, shard_bytes=SHARD_BYTES, max_documents=10, out="few")
    assert few.counts.kept == 10
    both = collect(folder, shard_bytes=SHARD_BYTES, max_documents=10_000, max_text_bytes=10**9, out="both")
    assert (both.counts.kept, both.counts.dropped) == (180, {})
    other = collect(folder, shard_bytes=SHARD_BYTES, max_text_bytes=10_000, seed=1, out="seed")
    assert set(other.texts()) != set(capped.texts())


def test_of_documents_with_one_id_the_first_stays(tmp_path, collect):
    for name, ids in {"a": "pqr", "b": "sqt", "c": "qu"}.items():
        rows = [json.dumps({"id": one, "text": f"{name} {one}"}) for one in ids]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "c.jsonl"]
    done = collect(*paths)
    assert done.texts() == ["a p", "a q", "a r", "b s", "b t", "c u"]
    assert done.broken() == [("b.jsonl#1", "duplicate_id"), ("c.jsonl#0", "duplicate_id")]
    assert (done.counts.read, done.counts.kept, done.counts.quarantined) == (8, 6, 2)


def test_a_repeated_id_comes_back_when_the_first_goes(tmp_path, collect):
    one = {"shard_bytes": 1_000, "sources": [{"kind": "files", "name": "x", "paths": [str(tmp_path / "x")]}]}
    folder = tmp_path / "x"
    folder.mkdir()
    for name in "abc":
        text = f"{name} " + "word " * 300
        (folder / f"{name}.jsonl").write_text(json.dumps({"id": "same", "text": text}) + "\n" + json.dumps({"text": name}))
    first = collect(**one)
    assert [text[0] for text in first.texts()] == ["a", "a", "b", "c"]
    assert collect(**one, max_documents=None).done.recomputed_shards == 0
    (folder / "a.jsonl").unlink()
    after = collect(**one)
    assert [text[0] for text in after.texts()] == ["b", "b", "c"]
    assert after.published() == collect(**one, out="fresh").published()
    (folder / "d.txt").write_text("another")
    assert collect(**one).done.recomputed_shards <= 2


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_repeated_ids_are_those_a_set_has_seen(tmp_path, shards):
    ids = [[bytes([n] * 7 + [0] * 9) if n % 2 else bytes(15) + bytes([n]) for n in shard] for shard in shards]
    seen: set[bytes] = set()
    wanted = []
    for shard in ids:
        wanted.append(tuple(row for row, one in enumerate(shard) if one in seen or seen.add(one)))
    for fan_in, memory_bytes in ((2, 1), (3, 1_000), (64, 10**6)):
        with runs.scratch(tmp_path / "ids") as folder:
            # Every second split has two shards.
            parts = [[b"".join(shard)] if number % 2 else [b"", b"".join(shard)] for number, shard in enumerate(ids)]
            written = [unique.write(folder / f"{number}", number, part) for number, part in enumerate(parts)]
            means = Means(folder=folder, executor=InProcess(), memory_bytes=memory_bytes, fan_in=fan_in)
            found = unique.repeated(written, means)
        assert {unique.key(at, 1 - at % 2): rows for at, rows in enumerate(wanted) if rows} == found


def test_taking_out_repeated_ids_may_be_done_again(tmp_path, collect, monkeypatch):
    """As an executor does that waited too long for a worker, or lost it between two files."""
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text(
            "\n".join(json.dumps({"id": number, "text": f"{name} {number}"}) for number in range(3))
        )
    once = split.run_again

    def twice(repeated):
        first = once(repeated)
        assert once(repeated) == first
        (name,) = first.made[0].shard.files
        (repeated.task.root / name).write_bytes(b"cut")
        assert once(repeated) == first
        return first

    wanted = collect(tmp_path / "a.jsonl", tmp_path / "b.jsonl", quarantine_ceiling=1.0, shard_bytes=1_000)
    monkeypatch.setattr(step, "run_again", twice)
    again = collect(tmp_path / "a.jsonl", tmp_path / "b.jsonl", quarantine_ceiling=1.0, shard_bytes=1_000, out="again")
    assert again.published() == wanted.published()
    assert [text[0] for text in again.texts()] == ["a", "a", "a"]


@given(st.integers(0, 1_000), st.lists(st.integers(1, 50), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_allotted_shares_add_up_and_are_proportional(total, weights):
    shares = plan.allot(total, weights)
    assert sum(shares) == total
    exact = np.array(weights) * total / sum(weights)
    assert (np.abs(np.array(shares) - exact) < 1).all()


def test_a_file_that_changes_meanwhile_is_noticed(folder, tmp_path, monkeypatch):
    step = CollectStep(config=CollectConfig(paths=(str(folder),)))
    work = Work(root=tmp_path / "corpus", before=(), executor=InProcess())
    before = step.inputs(work)
    (folder / "d1" / "001.txt").write_text("changed after its identity was taken")
    with pytest.raises(StaleInput, match=r"001\.txt changed"):
        step.run(work)
    assert step.inputs(work) != before


def test_identities_are_remembered_only_for_files_that_are_old(tmp_path, monkeypatch, collect):
    old, young = tmp_path / "old.txt", tmp_path / "young.txt"
    for path in (old, young):
        path.write_text(path.stem)
    os.utime(old, ns=(0, 10**18))
    collect(old, young)
    read = []
    monkeypatch.setattr(inputs, "_read", lambda file, step: read.append(file.name) or inputs.Identity(sha256="0"))
    CollectStep(config=CollectConfig(paths=(str(old), str(young)))).inputs(
        Work(root=tmp_path / "corpus", before=(), executor=InProcess())
    )
    assert read == ["young.txt"]


def test_the_plan_is_what_a_run_then_does(folder, collect):
    step = CollectStep(config=CollectConfig(paths=(str(folder),), shard_bytes=SHARD_BYTES))
    planned = step.plan()
    done = collect(folder, shard_bytes=SHARD_BYTES)
    assert planned["files"] == 121
    assert planned["splits"] == len({shard.name.partition("-")[0] for shard in done.done.manifest.shards})
    assert planned["input_bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert abs(planned["text_bytes"] - done.counts.bytes_kept) < 0.1 * done.counts.bytes_kept


def test_settings_name_no_path(folder):
    config = CollectConfig(paths=(str(folder),), sources=({"kind": "dataset", "name": "d", "path": str(folder)},))
    assert str(folder) not in json.dumps(CollectStep(config=config).config())
