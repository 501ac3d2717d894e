"""The writing protocol: whole or not at all, whatever fails."""

from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile, InputError, Locked
from tokenmill.pipeline.base.files import Fault


@pytest.fixture(autouse=True)
def _no_fault_left():
    yield
    files.inject(None)


def test_a_file_appears_whole_with_its_hash(tmp_path: Path) -> None:
    with files.create(tmp_path / "a" / "b") as out:
        out.write(b"one ")
        assert not (tmp_path / "a" / "b").exists()
        out.write(memoryview(b"two"))
    entry = out.entry(rows=2)
    assert (tmp_path / "a" / "b").read_bytes() == b"one two"
    assert entry == files.FileEntry(bytes=7, sha256=files.sha256(tmp_path / "a" / "b"), rows=2)
    assert files.holds(tmp_path, "a/b", entry)


def test_an_exception_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), files.create(tmp_path / "a") as out:
        out.write(b"new")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def _operations_of_one_file(folder: Path) -> int:
    files.inject(None)
    files.write_bytes(folder / "probe", b"x" * 10)
    return files.operations()


@pytest.mark.parametrize("kind", ["eio", "enospc", "short"])
def test_a_failing_operation_is_an_error_and_never_a_part(tmp_path: Path, kind: files.FaultKind) -> None:
    for at in range(_operations_of_one_file(tmp_path)):
        path = tmp_path / f"{kind}-{at}"
        files.write_bytes(path, b"old")
        files.inject(Fault(at=at, kind=kind))
        with pytest.raises(OSError) as raised:
            files.write_bytes(path, b"new data")
        assert raised.value.errno in (errno.EIO, errno.ENOSPC)
        # The folder's fsync comes after the rename: the new file is there, whole.
        assert path.read_bytes() in (b"old", b"new data")
        files.inject(None)


def _exit_at(path: Path, at: int) -> None:
    files.inject(Fault(at=at, kind="exit"))
    files.write_bytes(path, b"new data")


def test_an_exit_at_any_operation_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    number = _operations_of_one_file(tmp_path)
    for at in range(number + 1):
        path = tmp_path / f"exit-{at}"
        files.write_bytes(path, b"old")
        child = fork.Process(target=_exit_at, args=(path, at))
        child.start()
        child.join()
        assert child.exitcode == (files.EXIT_BY_FAULT if at < number else 0)
        assert path.read_bytes() in (b"old", b"new data")
    files.sweep(tmp_path)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(files.TEMPORARY)]


def test_only_what_must_outlive_a_loss_of_power_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    assert files.write_bytes(tmp_path / "work", b"x", durable=False) == files.write_bytes(tmp_path / "kept", b"x")
    assert len(waited) == 2, "the second file and its folder"
    with files.create(tmp_path / "work", hashed=False) as out:
        out.write(b"y")
    assert (tmp_path / "work").read_bytes() == b"y"
    with pytest.raises(AssertionError):
        out.entry()


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What stands in `tmp_path` at each fsync of that folder: what a loss of power just after it leaves."""
    fsync, found = os.fsync, []

    def record(handle: int) -> None:
        fsync(handle)
        if os.path.samestat(os.fstat(handle), tmp_path.stat()):
            found.append(sorted(os.listdir(tmp_path)))

    monkeypatch.setattr(os, "fsync", record)
    return found


def test_what_is_written_linked_or_removed_outlives_a_loss_of_power(tmp_path: Path, synced: list[list[str]]) -> None:
    one = files.write_bytes(tmp_path / "a", b"one")
    assert synced == [["a"]]
    files.link(tmp_path, [("a", one)], tmp_path / "b")
    assert (tmp_path / "b").samefile(tmp_path / "a")
    assert synced[1:] == [["a", "b"]]
    files.link(tmp_path, [("a", one), ("b", one)], tmp_path / "c")
    assert synced[2:] == [["a", "b", "c"]], "a copy, since there are two parts"
    files.remove(tmp_path / "a")
    assert synced[3:] == [["b", "c"]]
    files.remove(tmp_path / "a")
    files.remove(tmp_path / "b", durable=False)
    assert os.listdir(tmp_path) == ["c"]
    assert synced[4:] == [], "nothing was removed, or it may come back"


def test_verified_reading_refuses_other_bytes(tmp_path: Path) -> None:
    entry = files.write_bytes(tmp_path / "a", b"data")
    assert files.read_verified(tmp_path, "a", entry) == b"data"
    (tmp_path / "a").write_bytes(b"dbta")
    with pytest.raises(CorruptFile, match="a: holds 4 bytes"):
        files.read_verified(tmp_path, "a", entry)
    (tmp_path / "a").unlink()
    with pytest.raises(CorruptFile, match="cannot be read"):
        files.read_verified(tmp_path, "a", entry)


def test_canonical_json_is_one_sequence_of_bytes() -> None:
    assert files.canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.canonical_json(float("nan"))


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b"])
def test_names_from_data_stay_inside(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="outside"):
        files.inside(tmp_path, name)
    assert files.inside(tmp_path, "a/b") == tmp_path / "a" / "b"


def _hold(root: Path, ready: multiprocessing.connection.Connection) -> None:
    with files.lock(root):
        ready.send(os.getpid())
        ready.recv()


def test_the_second_run_says_who_holds_the_lock(tmp_path: Path) -> None:
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, there))
    child.start()
    holder = here.recv()
    with pytest.raises(Locked, match=f"process {holder} "), files.lock(tmp_path):
        pass
    child.kill()
    child.join()
    with files.lock(tmp_path):
        pass


def test_a_log_completes_a_cut_line(tmp_path: Path) -> None:
    log = files.Log(tmp_path / "log.jsonl")
    log.append({"step": 1})
    log.close()
    with open(tmp_path / "log.jsonl", "ab") as cut:
        cut.write(b'{"ste')
    log = files.Log(tmp_path / "log.jsonl")
    log.append({"step": 2})
    log.close()
    assert (tmp_path / "log.jsonl").read_bytes().splitlines() == [b'{"step":1}', b'{"ste', b'{"step":2}']
