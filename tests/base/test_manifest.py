"""Manifests: what they promise, and that every changed byte is noticed."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import CorruptFile, Miscounted, NotBuilt
from tokenmill.pipeline.base.manifest import Counts, Manifest, Shard


def made(root: Path) -> Manifest:
    entry = files.write_bytes(root / "stage" / "file", b"data")
    shard = Shard(name="a/0", files={"stage/file": entry}, counts=Counts(read=3, kept=1, dropped={"short": 1}, quarantined=1))
    return Manifest(stage="stage", version=1, config={"x": 1.5}, inputs={"collect": "abc"}, shards=(shard,), facts={"n": 2})


def test_a_manifest_survives_the_disk(tmp_path: Path) -> None:
    one = manifest.commit(tmp_path, made(tmp_path))
    assert manifest.load(tmp_path, "stage") == one
    assert manifest.load(tmp_path, "stage").hash == one.hash
    assert list(manifest.problems(tmp_path, one)) == []


def test_no_manifest_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="run the build first"):
        manifest.load(tmp_path, "stage")
    assert manifest.find(tmp_path, "stage") is None


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    manifest.commit(tmp_path, made(tmp_path))
    path = manifest.path_of(tmp_path, "stage")
    whole = path.read_bytes()
    chosen = random.Random(0).sample(range(len(whole) * 8), 200)
    for bit in chosen:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(CorruptFile):
            manifest.load(tmp_path, "stage")


def test_problems_name_the_file(tmp_path: Path) -> None:
    one = made(tmp_path)
    for data, word in ((b"dbta", "other bytes"), (b"dat", "3 bytes")):
        (tmp_path / "stage" / "file").write_bytes(data)
        (problem,) = manifest.problems(tmp_path, one)
        assert problem.startswith(str(tmp_path / "stage" / "file"))
        assert word in problem
    (tmp_path / "stage" / "file").unlink()
    (problem,) = manifest.problems(tmp_path, one)
    assert "missing" in problem


def test_rows_that_are_lost_cannot_be_counted() -> None:
    with pytest.raises(Miscounted, match="not conserved"):
        Counts(read=3, kept=1, dropped={"short": 1})


def test_a_manifest_that_loses_rows_is_refused(tmp_path: Path) -> None:
    """Also with the hash that belongs to it."""
    one = manifest.commit(tmp_path, made(tmp_path))
    path = manifest.path_of(tmp_path, "stage")
    plain = json.loads(path.read_bytes())
    del plain["hash"]
    plain["shards"][0]["counts"]["kept"] -= 1
    files.write_json(path, {**plain, "hash": hashlib.sha256(files.canonical_json(plain)).hexdigest()})
    with pytest.raises(CorruptFile, match="run the build again"):
        manifest.load(tmp_path, one.stage)


def test_totals_are_sums() -> None:
    parts = [Counts(read=2, kept=1, dropped={"b": 1}, bytes_in=5), Counts(read=3, kept=1, dropped={"a": 1}, quarantined=1)]
    assert Counts.total(parts) == Counts(read=5, kept=2, dropped={"a": 1, "b": 1}, quarantined=1, bytes_in=5)
