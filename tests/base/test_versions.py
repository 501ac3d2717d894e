"""Published versions: old or new after a crash at any step, held by readers, removed when nobody reads them."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tokenmill.pipeline.base import files, manifest, versions
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt, NotOurs
from tokenmill.pipeline.base.files import Fault, Marker
from tokenmill.pipeline.base.manifest import CORPUS, Manifest


@pytest.fixture(autouse=True)
def _no_fault_left():
    yield
    files.inject(None)


def make(root: Path, text: str) -> Manifest:
    """What a build leaves before it publishes: two files, a step that names one of them, and the manifest of the whole."""
    manifest.withdraw(root, [CORPUS, "collect"])
    entry = files.write_bytes(root / "documents" / "a" / f"{text}.parquet", text.encode() * 1000)
    step = manifest.commit(
        root, Manifest(stage="collect", version=1, config={}, inputs={}, files={f"documents/a/{text}.parquet": entry})
    )
    config = files.write_bytes(root / "config.toml", text.encode())
    return manifest.commit(
        root, Manifest(stage=CORPUS, version=1, config={}, inputs={"collect": step.hash}, files={"config.toml": config})
    )


def seen(root: Path) -> str:
    """The text of the version that readers see, after every file of it was compared with the manifests."""
    now = versions.reading(root)
    whole = manifest.load(now.folder, CORPUS)
    step = manifest.load(now.folder, "collect")
    assert step.hash == whole.inputs["collect"], "a mixture"
    assert not [*manifest.problems(now.folder, whole), *manifest.problems(now.folder, step)]
    return (now.folder / "config.toml").read_text()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A corpus whose version "old" is published."""
    with files.lock(tmp_path / "corpus"):
        files.mark(tmp_path / "corpus", Marker(id=secrets.token_hex(16)))
        make(tmp_path / "corpus", "old")
        assert versions.publish(tmp_path / "corpus") == 0
    return tmp_path / "corpus"


def numbers(root: Path) -> list[str]:
    return sorted(os.listdir(root / versions.FOLDER))


def rebuilt(root: Path, fault: Fault | None, text: str = "new") -> None:
    with files.lock(root):
        make(root, text)
        files.inject(fault)
        versions.publish(root)
        os._exit(0 if fault is None else files.operations() + 1)


def in_a_child(root: Path, fault: Fault | None) -> int:
    child = multiprocessing.get_context("fork").Process(target=rebuilt, args=(root, fault))
    child.start()
    child.join()
    assert child.exitcode is not None
    return child.exitcode


def test_a_version_is_whole_and_costs_no_second_copy(root: Path) -> None:
    assert seen(root) == "old"
    now = versions.reading(root)
    assert now.folder == root / ".versions" / "1"
    for path in files.listed(now.folder):
        if path.name != ".lease":
            assert path.samefile(root / path.relative_to(now.folder))
    make(root, "new")
    assert seen(root) == "old", "not published yet"
    assert versions.is_unfinished(root)


def walk(root: Path, folder: Path, points: Iterable[int]) -> list[str]:
    """Publish a new version in copies of `root`, each time ended at another operation. What readers saw then."""
    found = []
    for at in points:
        copy = folder / f"at-{at}"
        shutil.copytree(root, copy)
        code = in_a_child(copy, Fault(at=at, kind="exit"))
        found.append(seen(copy))
        with files.lock(copy):
            files.sweep(copy)
            make(copy, "new")
            versions.publish(copy)
        assert seen(copy) == "new"
        assert len(numbers(copy)) == 1, "no part of a version is left"
        assert not versions.is_unfinished(copy)
        shutil.rmtree(copy)
        if code != files.EXIT_BY_FAULT:
            break
    assert found == sorted(found, reverse=True), "old until one operation, and new from it on"
    return found


def test_an_exit_while_a_version_is_published_leaves_old_or_new(root: Path, tmp_path: Path) -> None:
    assert {*walk(root, tmp_path, range(4, 1000, 9))} == {"old", "new"}


@pytest.mark.soak
def test_an_exit_at_every_operation_of_publication_leaves_old_or_new(root: Path, tmp_path: Path) -> None:
    assert len(walk(root, tmp_path, range(1000))) > 20


@pytest.mark.parametrize("kind", ["eio", "enospc"])
def test_a_failing_disk_is_an_error_and_leaves_old_or_new(root: Path, kind: files.FaultKind) -> None:
    with files.lock(root):
        make(root, "new")
        files.inject(Fault(at=7, kind=kind))
        with pytest.raises(OSError):
            versions.publish(root)
        files.inject(None)
        assert seen(root) == "old"
        versions.publish(root)
    assert seen(root) == "new"


def test_a_version_that_is_read_stays_until_the_reader_lets_go(root: Path) -> None:
    held = versions.reading(root)
    with files.lock(root):
        make(root, "new")
        assert versions.publish(root) == 1
        assert versions.superseded(root) == [1]
        assert (held.folder / "config.toml").read_text() == "old"
        assert versions.publish(root) == 1
        del held
        assert versions.publish(root) == 0
    assert numbers(root) == ["2"]


def read_later(now: versions.InView, go: multiprocessing.connection.Connection) -> None:
    go.recv()
    go.send((now.folder / "config.toml").read_text())


def test_a_forked_reader_and_one_that_was_sent_a_lease_hold_it_too(root: Path) -> None:
    held = versions.reading(root)
    sent = pickle.dumps(held)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=read_later, args=(held, there))
    child.start()
    del held
    with files.lock(root):
        make(root, "new")
        assert versions.publish(root) == 1
        here.send(None)
        assert here.recv() == "old"
        child.join()
        other = pickle.loads(sent)  # noqa: S301 -- our own bytes of a moment ago
        assert versions.publish(root) == 1
        del other
        assert versions.publish(root) == 0
    with pytest.raises(NotBuilt, match="this version of the corpus was removed"):
        pickle.loads(sent)  # noqa: S301


def test_purging_takes_a_version_from_its_readers(root: Path) -> None:
    held = versions.reading(root)
    with files.lock(root):
        make(root, "new")
        versions.publish(root, purge=True)
    assert numbers(root) == ["2"]
    assert not held.folder.exists()


def test_a_foreign_file_in_a_version_stays(root: Path) -> None:
    (root / ".versions" / "1" / "documents" / "mine").write_bytes(b"mine")
    (root / ".versions" / "notes").write_bytes(b"mine")
    (root / ".versions" / "9").write_bytes(b"mine")
    with files.lock(root):
        make(root, "new")
        versions.publish(root)
    assert [path.name for path in files.listed(root / ".versions" / "1")] == ["mine"]
    assert (root / ".versions" / "1" / "documents" / "mine").read_bytes() == b"mine"
    assert (root / ".versions" / "notes").read_bytes() == (root / ".versions" / "9").read_bytes() == b"mine"
    assert versions.superseded(root) == []


def test_a_folder_of_somebody_else_among_the_versions_stays_whatever_its_name(root: Path, tmp_path: Path) -> None:
    """A copy of a version, under the number of the next one, of a later one, and spelled as no number of ours is."""
    for name in ("2", "7", "001"):
        shutil.copytree(root / ".versions" / "1", root / ".versions" / name)
    before = {name: inside(root / ".versions" / name) for name in ("2", "7", "001")}
    held = versions.reading(root)
    for number, text in enumerate(("new", "newer"), 3):
        with files.lock(root):
            files.sweep(root)
            make(root, text)
            versions.publish(root, purge=text == "newer")
            files.settle(root)
        assert seen(root) == text
        assert files.marker(root).published.generation == number  # type: ignore[union-attr]
        assert {name: inside(root / ".versions" / name) for name in before} == before
        assert versions.foreign(root) == [".versions/001", ".versions/2", ".versions/7"]
    assert numbers(root) == ["001", "2", "4", "7"]
    assert not held.folder.exists()
    with files.lock(root):
        versions.withdraw(root)
    assert numbers(root) == ["001", "2", "7"]


def test_the_version_of_a_copy_without_its_journal_is_ours(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns(".state"))
    with files.lock(tmp_path / "copy"):
        make(tmp_path / "copy", "new")
        versions.publish(tmp_path / "copy")
    assert numbers(tmp_path / "copy") == ["2"]


def inside(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files.listed(folder)}


@pytest.mark.parametrize("at", [None, 3, 6, 9, 14])
def test_the_finished_version_is_put_back_in_place_of_an_unfinished_build(root: Path, at: int | None) -> None:
    wanted = {name: data for name, data in inside(root / ".versions" / "1").items() if name != ".lease"}
    with files.lock(root):
        make(root, "new")
        manifest.withdraw(root, [CORPUS])
        (root / "config.toml").unlink()
        assert versions.is_unfinished(root)
        if at is not None:
            files.inject(Fault(at=at, kind="eio"))
            with pytest.raises(OSError):
                versions.restore(root)
            files.inject(None)
            assert versions.is_unfinished(root)
            assert seen(root) == "old"
        versions.restore(root)
        assert not versions.is_unfinished(root)
        assert {name: (root / name).read_bytes() for name in wanted} == wanted
        assert (root / "documents" / "a" / "new.parquet").exists(), "the next build may go on with it"
        versions.publish(root)
    assert seen(root) == "old"


def test_a_lease_that_is_a_link_is_refused_by_name(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (root / ".versions" / "1" / ".lease").unlink()
    (root / ".versions" / "1" / ".lease").symlink_to(tmp_path / "mine")
    with files.lock(root), pytest.raises(NotOurs, match=r"\.lease: is a symbolic link"):
        make(root, "new")
        versions.publish(root)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert seen(root) == "new"


def test_a_file_that_was_healed_is_published_again(root: Path) -> None:
    path = root / "documents" / "a" / "old.parquet"
    data = path.read_bytes()
    path.write_bytes(b"x" + data[1:])
    with pytest.raises(AssertionError):
        seen(root)
    files.write_bytes(path, data)
    whole = manifest.load(root, CORPUS)
    assert not versions.is_current(root, whole), "the hash is the same, the file is another"
    with files.lock(root):
        versions.publish(root)
    assert seen(root) == "old"
    assert versions.is_current(root, whole)
    assert numbers(root) == ["2"]


def test_a_copy_without_hidden_files_and_one_without_the_version_are_read_where_they_stand(root: Path, tmp_path: Path) -> None:
    for name, left_out in (("bare", shutil.ignore_patterns(".*")), ("marked", shutil.ignore_patterns(".versions"))):
        shutil.copytree(root, tmp_path / name, ignore=left_out)
        assert versions.reading(tmp_path / name).folder == tmp_path / name
        assert seen(tmp_path / name) == "old"


def test_without_hard_links_the_message_names_the_way_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    with files.lock(root):
        make(root, "new")
        for refused in (versions.publish, files.require_links):
            with pytest.raises(ConfigError, match="makes no hard link.*--in-place"):
                refused(root)
        assert seen(root) == "old"
        assert versions.withdraw(root) == 0
    assert versions.reading(root).folder == root
    assert seen(root) == "new"
    assert not list((root / ".state").glob("probe.link"))
