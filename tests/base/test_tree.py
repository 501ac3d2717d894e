"""Below a corpus no link is followed, and nothing is removed that the journal does not name. Foreign bytes are looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import multiprocessing
import os
import secrets
import shutil
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile, Locked, NewerFormat, NotOurs
from tokenmill.pipeline.base.files import Marker

MINE = b"my own bytes"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a marker, and nothing else."""
    with files.lock(tmp_path / "corpus"):
        files.mark(tmp_path / "corpus", Marker(id=secrets.token_hex(16)))
    return tmp_path / "corpus"


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder of somebody else, with the names that a corpus has."""
    (tmp_path / "foreign" / "web").mkdir(parents=True)
    for name in ("x.parquet", "web/x.parquet", ".x.parquet.1.tmp~"):
        (tmp_path / "foreign" / name).write_bytes(MINE)
    return tmp_path / "foreign"


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


WRITES: dict[str, Callable[[Path], object]] = {
    "create": lambda path: files.write_bytes(path, b"new"),
    "remove": files.remove,
    "link": lambda path: files.link(path.parents[3], [("one", files.FileEntry(bytes=0, sha256=EMPTY))], path),
    "log": files.Log,
    "read": lambda path: files.read_bytes(path),
    "clear": lambda path: files.clear(path.parent),
}
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize("linked", ["documents", "documents/web"])
def test_a_link_in_the_place_of_a_folder_is_refused_by_name(root: Path, foreign: Path, way: str, linked: str) -> None:
    files.write_bytes(root.parent / "one", b"")
    before = bytes_in(foreign)
    (root / linked).parent.mkdir(exist_ok=True)
    (root / linked).symlink_to(foreign if linked == "documents" else foreign / "web")
    with pytest.raises(NotOurs, match=rf"{linked}: is a symbolic link to .*; move it out of the corpus"):
        WRITES[way](root / "documents" / "web" / "x.parquet")
    assert bytes_in(foreign) == before
    assert (root / linked).is_symlink()


def test_a_link_in_the_place_of_a_file_is_not_read_and_what_it_names_stays(root: Path, foreign: Path) -> None:
    entry = files.write_bytes(root / "documents" / "x", MINE)
    (root / "documents" / "x").unlink()
    (root / "documents" / "x").symlink_to(foreign / "x.parquet")
    assert not files.holds(root, "documents/x", entry), "the bytes behind it are the right ones"
    with pytest.raises(CorruptFile, match="x: is a symbolic link"):
        files.read_verified(root, "documents/x", entry)
    files.write_bytes(root / "documents" / "x", b"new")
    assert (root / "documents" / "x").read_bytes() == b"new"
    files.remove(root / "documents" / "x")
    assert bytes_in(foreign)["x.parquet"] == MINE


def test_a_pipe_in_the_place_of_a_file_stops_nobody(root: Path) -> None:
    os.mkfifo(root / "manifest.json")
    with pytest.raises(NotOurs, match="is not what tokenmill makes"):
        files.read_bytes(root / "manifest.json")


def test_the_folder_of_a_corpus_may_be_a_link_itself(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(root)
    files.write_bytes(tmp_path / "other" / "documents" / "x", b"x")
    assert (root / "documents" / "x").read_bytes() == b"x"
    assert "documents/x" in files.noted(root)
    (tmp_path / "plain").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "plain")
    files.write_bytes(tmp_path / "way" / "x", b"x")
    assert (tmp_path / "plain" / "x").read_bytes() == b"x", "outside of corpora, paths are the caller's"


def test_a_lock_that_is_a_link_is_refused_and_not_emptied(root: Path, foreign: Path) -> None:
    (root / ".lock").unlink()
    (root / ".lock").symlink_to(foreign / "x.parquet")
    with pytest.raises(NotOurs, match=r"\.lock: is "), files.lock(root):
        pass
    assert (root / ".lock").is_symlink()
    assert bytes_in(foreign)["x.parquet"] == MINE


@pytest.mark.parametrize("data", [MINE, b"", b"process 1 of my company", b"process 1 on vm since 2026-11-26 09:00:00 UTC"])
def test_a_lock_that_is_a_hard_link_is_held_and_what_it_is_linked_to_stays(root: Path, foreign: Path, data: bytes) -> None:
    (root / ".lock").unlink()
    (foreign / "x.parquet").write_bytes(data)
    (root / ".lock").hardlink_to(foreign / "x.parquet")
    with files.lock(root):
        with pytest.raises(Locked, match="is locked: process"), files.lock(root):
            pass
        files.write_bytes(root / "documents" / "a", b"ours")
        assert (foreign / "x.parquet").read_bytes() == data
    assert (foreign / "x.parquet").read_bytes() == data


def hold(folder: Path, path: Connection) -> None:
    """Hold a lock, or say that somebody else does, until told to end."""
    try:
        with files.lock(folder):
            path.send("held")
            path.recv()
    except Locked as error:
        path.send(str(error))


def holding(folder: Path) -> tuple[BaseProcess, Connection, str]:
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=hold, args=(folder, there), daemon=True)
    child.start()
    return child, here, here.recv()


def test_a_copy_by_hard_links_and_its_original_are_written_at_once_and_each_by_one_run(root: Path, tmp_path: Path) -> None:
    with files.lock(root):
        files.write_bytes(root / "documents" / "a", b"a")
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, copy_function=os.link)
    children = [holding(folder) for folder in (copy, root, copy, root)]
    said = [answer for _, _, answer in children]
    assert said[:2] == ["held", "held"]
    assert [f"process {child.pid} on" in answer for (child, _, _), answer in zip(children[:2], said[2:], strict=True)] == [
        True
    ] * 2
    for child, connection, answer in children:
        if answer == "held":
            connection.send(None)
        child.join()
        assert child.exitcode == 0
    assert bytes_in(root).keys() == bytes_in(copy).keys() == {".lock", ".state/names", files.MARKER, "documents/a"}
    assert not (root / ".lock").samefile(copy / ".lock")


def test_a_lock_whose_name_was_taken_meanwhile_is_no_lock(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between open and lock, another run put a fresh file there, and holds it."""
    (root / ".lock").touch()
    lock = fcntl.flock

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        (root / ".lock").rename(root / "old")
        other.append(holding(root))
        lock(descriptor, how)

    other: list[tuple[BaseProcess, Connection, str]] = []
    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(Locked, match="is locked: process"), files.lock(root):
        pass
    ((child, connection, answer),) = other
    assert answer == "held"
    connection.send(None)
    child.join()


def test_who_lost_the_lock_of_a_folder_in_a_corpus_changes_nothing_more_there(root: Path, tmp_path: Path) -> None:
    model = root / "model"
    with files.lock(model):
        files.write_bytes(model / "a", b"a")
        (model / ".lock").rename(tmp_path / "lock")
        for change in (WRITES["create"], files.remove, lambda path: files.clear(path.parent)):
            with pytest.raises(Locked, match="changes nothing more"):
                change(model / "a")
        files.write_bytes(root / "documents" / "a", b"elsewhere it goes on")
        (tmp_path / "lock").rename(model / ".lock")
        root.rename(tmp_path / "moved")
        with pytest.raises(Locked, match="changes nothing more"):
            files.write_bytes(model / "b", b"")
        assert not root.exists()
        (tmp_path / "moved").rename(root)
    files.write_bytes(model / "a", b"b")


def test_a_name_noted_while_the_journal_is_replaced_is_not_lost(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_bytes(root / "documents" / "a", b"")
    replace, append = os.replace, os.write

    def replaced(*args: object, **kwargs: object) -> None:
        files.note(root, ["before"])
        replace(*args, **kwargs)  # type: ignore[arg-type]

    def appended(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", append)
        files.settle(root)
        return append(descriptor, data)

    monkeypatch.setattr(os, "replace", replaced)
    files.settle(root)
    assert files.noted(root) == {"documents/a", "before"}
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "write", appended)
    files.note(root, ["after"])
    assert "after" in files.noted(root)


@pytest.mark.parametrize("found", [MINE, bytes(60)])
def test_a_lock_with_unknown_bytes_is_held_and_keeps_them(root: Path, found: bytes) -> None:
    """They are somebody else's, or what a power loss left of ours."""
    (root / ".lock").write_bytes(found)
    with files.lock(root), pytest.raises(Locked, match=f"process {os.getpid()} "), files.lock(root):
        pass
    assert (root / ".lock").read_bytes() == found


def test_only_what_the_journal_names_is_cleared(root: Path) -> None:
    for name in ("documents/web/a", "documents/web/b", "documents/c"):
        files.write_bytes(root / name, b"ours")
    own = {"documents/web/notes.md", "documents/d", "documents/.e.1.tmp~", "documents/.a.b"}
    for name in own:
        (root / name).write_bytes(MINE)
    (root / "documents" / "way").symlink_to(root.parent)
    left = files.clear(root / "documents", keep={root / "documents/c"})
    assert {path.relative_to(root).as_posix() for path in left} == {*own, "documents/way"}
    assert bytes_in(root / "documents") == {"c": b"ours", **{name.removeprefix("documents/"): MINE for name in own}}


def test_a_temporary_file_goes_only_if_a_dead_writer_of_ours_left_it(root: Path, tmp_path: Path) -> None:
    files.write_bytes(root / "documents" / "a", b"ours")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    ours, theirs = root / "documents" / f".a.{child}.tmp~", root / "documents" / f".b.{child}.tmp~"
    alive, other = root / "documents" / f".a.{os.getppid()}.tmp~", root / "documents" / "a.tmp~"
    id_ = files.marker(root).id[:8]
    unknown, foreign = root / "documents" / f".c.{child}-{id_}.tmp~", root / "documents" / f".c.{child}-{id_[::-1]}.tmp~"
    pointer = root / f"..tokenmill.{child}.tmp~"
    for path in (ours, theirs, alive, other, unknown, foreign, pointer):
        path.write_bytes(MINE)
    with files.lock(root):
        files.sweep(root)
    assert not ours.exists()
    assert not unknown.exists(), "its name has the id of the corpus, so the journal need not know it"
    assert not pointer.exists()
    assert foreign.read_bytes() == MINE
    assert [path.read_bytes() for path in (theirs, alive, other)] == [MINE] * 3


def test_a_journal_that_a_crash_cut_loses_no_other_line(root: Path) -> None:
    files.write_bytes(root / "documents" / "a", b"")
    with open(root / files.JOURNAL, "ab") as journal:
        journal.write(b'\n"documents/b')
    files.write_bytes(root / "documents" / "c\n\udce9", b"")
    assert {"documents/a", "documents/c\n\udce9"} <= files.noted(root)
    files.settle(root)
    assert files.noted(root) == {"documents/a", "documents/c\n\udce9"}


def test_a_late_writer_of_an_older_run_changes_nothing(root: Path) -> None:
    files.write_bytes(root / "documents" / "a", b"old")
    with pytest.raises(Locked, match="lost its lock to process"), files.lock(root):
        found = files.marker(root)
        assert found is not None
        assert found.owner is not None
        # Another run took over, as it can where somebody removed `.lock`.
        other = dataclasses.replace(found.owner, token="another")
        (root / files.MARKER).write_bytes(files.canonical_json(dataclasses.replace(found, owner=other).plain()))
        for change in (WRITES["create"], files.remove, files.Log):
            with pytest.raises(Locked):
                change(root / "documents" / "a")
        files.write_bytes(root / "documents" / "b", b"late")
    assert bytes_in(root / "documents") == {"a": b"old"}
    now = files.marker(root)
    assert now is not None
    assert now.owner == other


@pytest.mark.parametrize("there", ["plain", "corpus"])
def test_a_run_whose_folder_was_moved_away_changes_nothing_under_its_name(root: Path, tmp_path: Path, there: str) -> None:
    files.write_bytes(root / "documents" / "a", b"ours")
    with files.lock(root):
        root.rename(tmp_path / "moved")
        (root / "documents").mkdir(parents=True)
        (root / "documents" / "a").write_bytes(MINE)
        if there == "corpus":
            shutil.copy(tmp_path / "moved" / files.MARKER, root / files.MARKER)
            found = files.marker(root)
            assert found is not None
            (root / files.MARKER).write_bytes(files.canonical_json(dataclasses.replace(found, owner=None).plain()))
        before = bytes_in(root)
        for change in (WRITES["create"], files.remove, files.Log, lambda path: files.clear(path.parent)):
            with contextlib.suppress(Locked):
                change(root / "documents" / "a")
        with pytest.raises(Locked, match="changes nothing more"):
            files.write_bytes(root / "documents" / "new" / "b", b"late")
        assert bytes_in(root) == before
        shutil.rmtree(root)
        (tmp_path / "moved").rename(root)
    assert bytes_in(root / "documents") == {"a": b"ours"}


def test_a_copy_by_hard_links_keeps_its_journal(root: Path, tmp_path: Path) -> None:
    files.write_bytes(root / "documents" / "a", b"a")
    (tmp_path / "names").hardlink_to(root / ".state" / "names")
    before = (tmp_path / "names").read_bytes()
    with files.lock(root):
        files.write_bytes(root / "documents" / "b", b"b")
    assert (tmp_path / "names").read_bytes() == before
    assert {"documents/a", "documents/b"} <= files.noted(root)


def test_a_marker_of_a_newer_version_is_refused_and_a_foreign_one_is_none(root: Path) -> None:
    path = root / files.MARKER
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":2'))
    for use in (files.marker, lambda folder: files.write_bytes(folder / "x", b"")):
        with pytest.raises(NewerFormat, match="is of format 2, and this version of tokenmill reads format 1; install a newer"):
            use(root)
    for data in (b"", b"{}", b"[1]", b"\xff", path.read_bytes().replace(b"tokenmill corpus", b"another program")):
        path.write_bytes(data)
        assert files.marker(root) is None
