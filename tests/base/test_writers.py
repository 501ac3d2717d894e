"""Writers on several hosts, or in containers of one: each has temporary files of its own, and only the latest run writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextvars import Context
from pathlib import Path

import pytest

from tests.base.test_cluster import corpus
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import Locked
from tokenmill.pipeline.base.files import names, owner

UNSHARE = ["unshare", "--pid", "--fork", "--kill-child"]
WRITER = """
import hashlib, os, sys, time
from pathlib import Path
from tokenmill.pipeline.base import files

path, byte, number = Path(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
print(os.getpid(), flush=True)
sys.stdin.readline()
for turn in range(number):
    with files.create(path, durable=False) as out:
        for _ in range(4):
            out.write(byte * 1000)
            time.sleep(0.0005)
print(out.entry().sha256, flush=True)
"""


def can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def test_two_writers_with_equal_numbers_in_two_containers(tmp_path: Path) -> None:
    if not can_unshare():
        pytest.skip("needs `unshare` and the right to make a namespace of processes")
    path = tmp_path / "file"
    command = [*UNSHARE, sys.executable, "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, byte, "40"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for byte in "ab"
    ]
    outputs = [one.stdout for one in writers if one.stdout is not None]
    numbers = [out.readline() for out in outputs]
    assert numbers[0] == numbers[1], "the writers have one number"
    for one in writers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    said = {out.readline().strip() for out in outputs}
    assert [one.wait() for one in writers] == [0, 0]
    for one in writers:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.close()
        one.stdout.close()
    assert files.sha256(path) in said
    assert path.read_bytes() in (b"a" * 4000, b"b" * 4000)
    assert os.listdir(tmp_path) == ["file"]


def test_a_temporary_name_says_who_writes_and_is_never_given_twice() -> None:
    made = {names.temporary("a.1.parquet", run="0123456789", corpus="fedcba9876") for _ in range(1000)}
    assert len(made) == 1000
    left = names.parsed(made.pop())
    assert left == names.Temporary(
        name="a.1.parquet", host=names.host(), process=os.getpid(), run="01234567", corpus="fedcba98"
    )
    assert names.parsed(names.temporary("x")) == names.Temporary(
        name="x", host=names.host(), process=os.getpid(), run=names.NONE, corpus=names.NONE
    )
    old = names.parsed(".x.parquet.12-01234567.tmp~")
    assert old == names.Temporary(name="x.parquet", host=None, process=12, run=names.NONE, corpus="01234567")
    assert names.parsed("x.parquet") is None


def test_a_late_rename_of_a_run_that_was_cut_off_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old run passes its comparison, and is stopped there. A new one takes the lock, and then the old one goes on."""
    root = tmp_path / "corpus"
    path = root / "documents" / "a"
    with corpus(root):
        files.write_bytes(path, b"before")
        old = files.held()
        compared = owner.require

        def another_run() -> None:
            files.fence(root)
            files.write_bytes(path, b"of the new run")

        def stopped(folder: Path) -> None:
            compared(folder)
            monkeypatch.setattr(owner, "require", compared)
            # In a context of its own, which does not write for the old run.
            Context().run(another_run)

        with pytest.raises(Locked, match="lost its lock"), files.holding(old), files.create(path) as out:
            out.write(b"late")
            monkeypatch.setattr(owner, "require", stopped)
        assert path.read_bytes() == b"of the new run"


def test_what_other_hosts_are_writing_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    with corpus(root):
        token, id_ = str(files.token_of(root)), "ab" * 16
        mine = names.temporary("a", run=token, corpus=id_)
        there = mine.replace(names.host(), "elsewhere-00000001")
        cut_off = there.replace(token[:8], "f" * 8)
        nobody = there.replace(token[:8], names.NONE)
        old = nobody.replace("elsewhere", "far_away")
        rebooted = nobody.replace("elsewhere-00000001", f"{names.host().rpartition('-')[0]}-00000001")
        for name in (there, cut_off, nobody, old, rebooted):
            (root / name).write_bytes(b"x")
        long_ago = time.time() - 2 * 86_400
        os.utime(root / old, (long_ago, long_ago))
        files.sweep(root)
        left = {one.name for one in root.glob(".a.*")}
    assert left == {there, nobody}
