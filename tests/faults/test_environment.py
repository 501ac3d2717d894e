"""Builds in hostile places: what they cannot do they say, and what they leave is finished elsewhere to the same bytes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.builds import Undisturbed, published, settings
from tests.faults.environments import NOT_HERE, FullDisk, Limit, ReadOnly
from tokenmill.pipeline.base.shortage import LEAST_ADDRESSES
from tokenmill.pipeline.stages import settings as settings_of


def require(code: int) -> int:
    if code == NOT_HERE:
        pytest.skip("needs to mount file systems, which is not allowed here")
    return code


SOAKED = pytest.mark.soak


@pytest.mark.parametrize("most", [32, pytest.param(16, marks=SOAKED), pytest.param(10, marks=SOAKED)])
def test_few_open_files(undisturbed: Undisturbed, tmp_path: Path, most: int) -> None:
    code = undisturbed.build(tmp_path / "corpus", Limit(resource=resource.RLIMIT_NOFILE, most=most))
    assert code == 0 or (code == 1 and most < 32)
    assert undisturbed.build(tmp_path / "corpus", None) == 0
    assert published(tmp_path / "corpus") == undisturbed.wanted


@pytest.mark.parametrize("size", [65_536, *(pytest.param(size, marks=SOAKED) for size in (8_192, 32_768, 150_000, 200_000))])
def test_a_disk_that_fills(undisturbed: Undisturbed, tmp_path: Path, size: int) -> None:
    kept = tmp_path / "kept"
    assert require(undisturbed.build(tmp_path / "disk/corpus", FullDisk(size=size, kept=kept))) == 0
    assert published(kept) == undisturbed.wanted


def test_a_corpus_that_can_only_be_read(undisturbed: Undisturbed, tmp_path: Path) -> None:
    assert require(undisturbed.build(tmp_path / "disk/corpus", ReadOnly(kept=tmp_path / "kept"))) == 0
    assert published(tmp_path / "kept/before") == published(tmp_path / "kept/after") == undisturbed.wanted


class Command:
    """`tokenmill build` in a session of its own, with two workers, so that signals reach it and all that it starts."""

    def __init__(self, undisturbed: Undisturbed, root: Path, *, memory_bytes: int | None = None) -> None:
        self.config = root.with_suffix(".toml")
        self.config.write_text(settings_of.to_toml(settings(undisturbed.source)))
        self.root = root
        self.undisturbed = undisturbed
        self.process = self._start(memory_bytes)

    def _start(self, memory_bytes: int | None = None) -> subprocess.Popen[str]:
        limit = f"ulimit -v {memory_bytes >> 10}; " if memory_bytes else ""
        build = f"{sys.executable} -m tokenmill build {self.config} --out {self.root} --workers 2"
        return subprocess.Popen(
            ["sh", "-c", f"{limit}exec {build}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def when_built(self, stage: str) -> None:
        """Wait until a stage is done."""
        deadline = time.monotonic() + 240
        while not list(self.root.rglob(f"{stage}/manifest.json")):
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def workers(self) -> list[int]:
        """The processes that do tasks: children of the fork server."""
        found = _processes(self.process.pid)
        servers = {pid for pid, (parent, line) in found.items() if parent == self.process.pid and "forkserver" in line}
        return [pid for pid, (parent, _) in found.items() if parent in servers]

    def ends(self, code: int) -> str:
        """Require the exit code, no traceback and, soon, no process of the session. Returns what was said."""
        said, _ = self.process.communicate(timeout=240)
        assert self.process.returncode == code, said
        assert "Traceback" not in said
        deadline = time.monotonic() + 10
        while left := _processes(self.process.pid):
            assert time.monotonic() < deadline, f"orphans: {left}"
            time.sleep(0.05)
        return said

    def resumes(self) -> None:
        """Require that the same command, run again, leads to the undisturbed corpus."""
        self.process = self._start()
        self.ends(0)
        assert published(self.root) == self.undisturbed.wanted


def _processes(session: int) -> dict[int, tuple[int, str]]:
    """Of each process of a session that has not ended: its parent and its command."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            line = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if int(of) == session and state != "Z":
            found[int(folder.name)] = (int(parent), line)
    return found


@SOAKED
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group(undisturbed: Undisturbed, tmp_path: Path, number: signal.Signals) -> None:
    command = Command(undisturbed, tmp_path / "corpus")
    command.when_built("language")
    os.killpg(command.process.pid, number)
    assert "run the same command again" in command.ends(130)
    command.resumes()


@SOAKED
def test_a_worker_that_is_stopped(undisturbed: Undisturbed, tmp_path: Path) -> None:
    command = Command(undisturbed, tmp_path / "corpus")
    command.when_built("collect")
    for pid in command.workers()[:1]:
        os.kill(pid, signal.SIGSTOP)
    command.ends(0)
    assert published(command.root) == undisturbed.wanted


@SOAKED
def test_a_worker_that_the_system_kills_for_memory(undisturbed: Undisturbed, tmp_path: Path) -> None:
    command = Command(undisturbed, tmp_path / "corpus")
    command.when_built("collect")
    workers = command.workers()
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    assert "ran out of memory" in command.ends(1)
    command.resumes()


@pytest.mark.parametrize("mib", [300, pytest.param(800, marks=SOAKED), pytest.param(3071, marks=SOAKED)])
def test_too_little_address_space(undisturbed: Undisturbed, tmp_path: Path, mib: int) -> None:
    command = Command(undisturbed, tmp_path / "corpus", memory_bytes=mib << 20)
    assert f"{mib:,} MiB of address space here, and a build needs 3,072" in command.ends(1)
    assert not (tmp_path / "corpus").exists()


@SOAKED
def test_as_much_address_space_as_a_build_needs(undisturbed: Undisturbed, tmp_path: Path) -> None:
    command = Command(undisturbed, tmp_path / "corpus", memory_bytes=LEAST_ADDRESSES)
    command.ends(0)
    assert published(command.root) == undisturbed.wanted
