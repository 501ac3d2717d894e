"""How the command line ends: bytes that are no text, short memory, full disks, and threads of libraries."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.command import tokenmill
from tokenmill.flows import room
from tokenmill.flows.cli.commands import COMMANDS
from tokenmill.flows.forgetting import requests
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import DiskFull, InputError, OutOfMemory
from tokenmill.pipeline.base.executor import InProcess, local
from tokenmill.pipeline.base.files import Fault
from tokenmill.pipeline.base.shortage import is_memory

TOKENMILL = Path(sys.executable).with_name("tokenmill")
NAMES = [entry.name for entries in COMMANDS.values() for entry in entries]
ABORTS = """
import ctypes, sys, threading, time
from tokenmill.flows.cli import main

libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)
threading.Timer(0.2, lambda: print("joined")).start()
sys.argv = ["tokenmill", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("command", NAMES)
def test_an_argument_that_is_not_utf8_is_one_line_of_error(command: str) -> None:
    for arguments in (("caf\udce9",), ("corpus", "--name", "http://e\udcff"), ("corpus", "--\udcff=[red]")):
        done = tokenmill(command, *arguments)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("error: argument ")
        assert len(done.stderr.splitlines()) == 1
        assert "is not UTF-8" in done.stderr
        assert "\\xe9" in done.stderr or "\\xff" in done.stderr


def test_the_installed_command_refuses_bytes_and_shows_what_a_terminal_can(tmp_path: Path) -> None:
    done = subprocess.run([TOKENMILL, "sample", "corpus", b"caf\xe9"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"error: argument 3 (caf\\xe9) is not UTF-8; use a UTF-8 terminal, or a path that is UTF-8\n"
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([TOKENMILL, "status", "中文"], capture_output=True, check=False, env=latin, cwd=tmp_path)
    assert done.returncode == 1
    assert b"\\u4e2d\\u6587 is no folder" in done.stderr or b"\\u4e2d\\u6587 holds no corpus" in done.stderr


def test_text_of_lone_surrogates_is_refused_in_python() -> None:
    with pytest.raises(InputError, match="is not text"):
        requests([], ["http://e\udcff"], [], None)


def test_nothing_that_a_library_does_at_the_end_changes_how_a_command_ends(tmp_path: Path) -> None:
    """A thread of the command is waited for, and its output is whole; then nothing else runs."""
    (tmp_path / "program.py").write_text(ABORTS)
    for arguments, code, said in ((["--version"], 0, ""), (["status", "/nowhere"], 1, "holds no corpus"), (["status"], 2, "")):
        done = subprocess.run(
            [sys.executable, tmp_path / "program.py", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert "joined\n" in done.stdout
        assert said in done.stderr


def _hungry(kind: str) -> int:
    if kind == "numpy":
        return len(np.empty(1 << 60, dtype=np.uint8))
    if kind == "arrow":
        return int(pa.allocate_buffer(1 << 60).size)
    if kind == "system":
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    return len(bytes(1 << 60))


@pytest.mark.parametrize("kind", ["python", "numpy", "arrow", "system"])
def test_memory_that_is_short_is_an_error_of_ours(kind: str) -> None:
    with pytest.raises(OutOfMemory, match=r"hungry: not enough memory.*fewer --workers"):
        InProcess().map(_hungry, [kind])


def test_memory_that_is_short_in_a_worker_is_an_error_of_ours() -> None:
    with local(2) as pool, pytest.raises(OutOfMemory, match="hungry: not enough memory"):
        pool.map(_hungry, ["numpy"])


def test_other_errors_are_not_taken_for_short_memory() -> None:
    assert not is_memory(OSError(errno.EIO, "Input/output error"))
    assert not is_memory(OutOfMemory("said before"))
    assert is_memory(ImportError("libarrow.so: failed to map segment from shared object"))
    assert is_memory(RuntimeError("can't start new thread"))


def test_a_command_under_a_limit_of_memory_says_so() -> None:
    limit = 260 << 20
    done = subprocess.run(
        [TOKENMILL, "status", "/nowhere"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "not enough memory" in done.stderr or "holds no corpus" in done.stderr


def test_a_full_disk_names_the_file_and_what_is_missing(tmp_path: Path) -> None:
    files.inject(Fault(at=1, kind="enospc"))
    try:
        with pytest.raises(DiskFull, match=r"table: the disk is full: 0 bytes of this file were written and [\d,]+ are free"):
            files.write_bytes(tmp_path / "table", b"data")
    finally:
        files.inject(None)
    assert list(tmp_path.iterdir()) == []


def test_a_build_on_a_full_disk_says_how_much_it_still_needs(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be " * 200)
    settings = [f"collect.paths={tmp_path / 'text.txt'}", "stages=[]", "tokenizer.vocabulary=260"]
    build = ["build", "text", "--out", tmp_path / "corpus", "--no-prefect", "--workers", "1"]
    files.inject(Fault(at=60, kind="enospc"))
    try:
        done = tokenmill(*build, *(f"--set={one}" for one in settings))
    finally:
        files.inject(None)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the disk is full" in line
    assert str(tmp_path / "corpus") in line
    assert "the steps that are left take up to 6.46 kB in all" in line
    assert tokenmill(*build, *(f"--set={one}" for one in settings)).returncode == 0


def test_a_build_that_may_not_fit_says_so_before_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be " * 200)
    build = ["build", "text", "--out", tmp_path / "corpus", "--no-prefect", "--workers", "1", "--set=tokenizer.vocabulary=260"]
    build += [f"--set=collect.paths={tmp_path / 'text.txt'}", "--set=stages=[]"]
    dry = tokenmill(*build, "--dry-run")
    assert "disk: at most" in dry.stdout
    monkeypatch.setattr(room, "free_bytes", lambda _: 3_000)
    for done in (tokenmill(*build, "--dry-run"), tokenmill(*build)):
        assert done.returncode == 0
        assert "this may not fit: it takes up to 7.98 kB" in done.stdout
    assert (
        room.needed_bytes({"text_bytes": 10_000_000, "fetched_bytes": 0}, ["collect", "dedup", "tokenizer", "pack", "corpus"])
        == 28_000_000
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(closed: str) -> None:
    for arguments, code in (("--version", 0), ("buidl", 2)):
        line = f'"$0" {arguments} {closed}'
        done = subprocess.run(["/bin/sh", "-c", line, TOKENMILL], capture_output=True, text=True, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False), line


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """It would get what libraries and workers print, too."""
    lines = (
        "import os, sys, tokenmill.flows.cli as cli",
        "cli._fill_streams()",
        f"sys.exit(os.open({str(tmp_path / 'file')!r}, os.O_CREAT))",
    )
    command = '"$0" -c "$1" <&- >&- 2>&-'
    done = subprocess.run(["/bin/sh", "-c", command, sys.executable, "\n".join(lines)], capture_output=True, check=False)
    assert done.returncode == 3
