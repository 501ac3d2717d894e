"""A build reads a published file once, and finds every change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tokenmill.pipeline.base import files, verified
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Manifest


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """A manifest of two files, at a time when both are old enough."""
    monkeypatch.setattr(verified.time, "time_ns", lambda: 1 << 62)
    names = {name: (tmp_path / name).write_bytes(name.encode()) for name in ("a", "bb")}
    entries = {name: FileEntry(bytes=size, sha256=files.sha256(tmp_path / name)) for name, size in names.items()}
    return Manifest(stage="collect", version=1, config={}, inputs={}, files=entries)


def test_a_file_is_read_once(made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = files.sha256
    monkeypatch.setattr(verified.files, "sha256", lambda path: (read.append(path.name), real(path))[1])
    for _ in range(3):
        assert not list(verified.problems(tmp_path, made, InProcess()))
    assert read == ["a", "bb"]


def test_a_change_is_found_though_size_and_time_are_put_back(made: Manifest, tmp_path: Path) -> None:
    assert not list(verified.problems(tmp_path, made, InProcess()))
    stood = (tmp_path / "bb").stat()
    while (tmp_path / "bb").stat().st_ctime_ns == stood.st_ctime_ns:
        (tmp_path / "bb").write_bytes(b"xx")
        os.utime(tmp_path / "bb", ns=(stood.st_atime_ns, stood.st_mtime_ns))
    (problem,) = verified.problems(tmp_path, made, InProcess())
    assert problem == f"{tmp_path / 'bb'}: other bytes than its manifest names"
    (tmp_path / "a").unlink()
    said = [one.partition(": ")[2] for one in verified.problems(tmp_path, made, InProcess())]
    assert said == ["missing", "other bytes than its manifest names"]


def test_a_file_that_was_just_written_is_read_each_time(
    made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verified.time, "time_ns", lambda: (tmp_path / "a").stat().st_ctime_ns + 1)
    assert verified.holds(tmp_path, "a", made.files["a"])
    assert tmp_path / "a" not in verified._read


def test_workers_read_much(made: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified, "BATCH_BYTES", 1)
    asked: list[int] = []

    class Two(InProcess):
        workers = 2

        def map(self, function, tasks, *, done=lambda _: None):  # type: ignore[no-untyped-def]
            asked.append(len(tasks))
            return super().map(function, tasks, done=done)

    for _ in range(2):
        assert not list(verified.problems(tmp_path, made, Two()))
    assert asked == [2]
