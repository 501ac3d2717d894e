"""Kept machine code: whatever happens to its files, a kernel runs, and only what this user kept is loaded."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.base.test_imports import MODULES, imports
from tokenmill.pipeline.kernels import machine_code
from tokenmill.pipeline.kernels.machine_code import njit


def twice(value: int) -> int:
    return 2 * value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine_code, "FOLDERS", (tmp_path / "environment", tmp_path / "home"))
    return tmp_path / "environment"


def kept(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def files_of() -> Any:
    return machine_code._Files(twice)


def stored(folder: Path) -> Path:
    """A kept file, and the promise that it is read."""
    files_of().save("key", b"code" * 100)
    assert files_of().load("key") == b"code" * 100
    return kept(folder)


def test_machine_code_is_kept_and_loaded(folder: Path) -> None:
    kernel: Any = njit(nogil=True, cache=True)(twice)
    assert kernel(21) == 42
    assert sum(kernel.stats.cache_misses.values()) == 1
    path = kept(folder)
    whole, made = path.read_bytes(), path.stat().st_ino
    again: Any = njit(nogil=True, cache=True)(twice)
    assert again(21) == 42
    assert sum(again.stats.cache_hits.values()) == 1
    assert path.stat().st_ino == made
    # The files of a power loss: cut, empty, of zeros, of other bytes.
    path.write_bytes(whole[: len(whole) // 2])
    once_more: Any = njit(nogil=True, cache=True)(twice)
    assert once_more(21) == 42
    assert sum(once_more.stats.cache_misses.values()) == 1
    assert machine_code._sealed(path) is not None


@pytest.mark.parametrize(
    "damage",
    [lambda whole: b"", lambda whole: whole[:-1], lambda whole: whole[:20], lambda whole: bytes(len(whole))]
    + [lambda whole, at=at: whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, 200, -1 - 31)],
)
def test_a_damaged_file_counts_as_missing_and_is_replaced(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    path = stored(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert files_of().load("key") is None
    stored(folder)


def test_what_another_user_could_write_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    path = stored(folder)
    for mode in (0o664, 0o646, 0o666):
        path.chmod(mode)
        assert files_of().load("key") is None
    path.chmod(0o644)
    assert files_of().load("key") is not None
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert files_of().load("key") is None
    path.unlink()
    os.mkfifo(path)
    assert files_of().load("key") is None
    path.unlink()
    elsewhere.rename(path)
    strange = max(path.stat().st_uid, os.geteuid(), os.stat(machine_code.__file__).st_uid) + 1
    for owner, trusted in ((0, True), (os.geteuid(), True), (strange, False)):
        assert machine_code._is_trusted(os.stat_result([0o100644, 0, 0, 1, owner, 0, 0, 0, 0, 0])) == trusted


def test_no_umask_makes_a_file_that_is_not_loaded(folder: Path) -> None:
    before = os.umask(0)
    try:
        stored(folder)
    finally:
        os.umask(before)


def test_a_folder_that_cannot_be_written_and_a_full_disk_end_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write_bytes(b"")
    files_of().save("key", b"code")
    assert kept(tmp_path / "home")
    assert files_of().load("key") == b"code"

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    files_of().save("other", b"code")
    assert files_of().load("other") is None
    assert len(list((tmp_path / "home").iterdir())) == 1
    kernel: Any = njit(nogil=True, cache=True)(twice)
    assert kernel(21) == 42


def test_two_processes_store_two_signatures_in_two_files(folder: Path) -> None:
    """Numba numbers the files: the second process wrote its code under the name of the first one's signature."""
    one, other = files_of(), files_of()
    one.save("int64", 1)
    other.save("float64", 2)
    assert (one.load("int64"), one.load("float64")) == (1, 2)


def test_every_kernel_is_kept_in_this_way() -> None:
    assert [module for module, path in MODULES.items() if "numba.njit" in imports(path)] == []
    decorated = [
        f"{module}: {ast.unparse(node)}"
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "numba.njit" and not module.endswith("machine_code")
    ]
    assert decorated == []
