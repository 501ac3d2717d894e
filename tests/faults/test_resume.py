"""End the process at file operation k of a small build, run it again: the same bytes for every k."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from tokenmill.flows.build import Building, build, outline
from tokenmill.pipeline import config
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.files import Fault, FaultKind
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.stages import settings as settings_of
from tokenmill.pipeline.stages import table

WORDS = ("the", "of", "and", "that", "corpus", "token", "shard", "text", "model", "data", "byte", "word", "line", "merge")
MENU = "Home | News | About this corpus\n"
PARTS = 20
"""Of the walk over every operation, so that several workers can share it."""
UNPUBLISHED = ("runs", "model", "export")


def write_input(folder: Path) -> None:
    """A few files with duplicates, a line that repeats, a broken record, and enough words for a tokenizer."""
    chosen = random.Random(0)
    folder.mkdir(parents=True)
    texts = [" ".join(chosen.choices(WORDS, k=120)) + f".\n{MENU}" for _ in range(12)]
    for number, text in enumerate(texts[:8]):
        (folder / f"{number}.txt").write_text(text)
    (folder / "same.txt").write_text(texts[0])
    (folder / "near.txt").write_text(texts[1] + "one more line.\n")
    lines = [json.dumps({"text": text}) for text in texts[8:]] + ['{"text": "cut']
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")


def settings(source: Path) -> config.Config:
    plain = {
        "stages": [kind.name for kind in table.STAGES],
        "collect": {"paths": [str(source)], "shard_bytes": 6000, "quarantine_ceiling": 0.2},
        "language": {"threshold": 0.0},
        "repeats": {"min_documents": 3, "counts": "bloom", "expected_units": 100},
        "quality": {"recipe": "docs@1"},
        "tokenizer": {"vocabulary": 300, "min_frequency": 1},
        "pack": {"shard_tokens": 1000, "validation_fraction": 0.2},
    }
    return settings_of.parse(plain, where="test")


def published(root: Path) -> dict[str, str]:
    """What is published: SHA-256 by name; records of runs and hidden files are not."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {part for part in path.relative_to(root).parts if part.startswith(".") or part in UNPUBLISHED}
    }


def quietly(source: Path, root: Path, fault: Fault | None, answer: Connection) -> None:
    """In a child: a build. An error of ours or of the operating system ends it with 1, and says nothing."""
    files.inject(fault)
    try:
        build(settings(source), root)
    except (TokenmillError, OSError):
        sys.exit(1)
    answer.send(files.operations())


def serve(source: Path, warm: Path, asked: Connection) -> None:
    """In a process of its own: load the kernels once, then fork for each (root, fault) asked for a child that builds.

    Answers with the child's exit code and how many file operations it took. Ends with who asks.
    """
    first = Building(config=settings(source), root=warm, executor=InProcess(), progress=Silent())
    # All but packing: threads of the encoder would not survive the fork.
    for name in list(outline(first.config))[:-1]:
        first.perform(name)
    fork = multiprocessing.get_context("fork")
    with contextlib.suppress(EOFError):
        while True:
            here, there = fork.Pipe(duplex=False)
            child = fork.Process(target=quietly, args=(source, *asked.recv(), there))
            child.start()
            child.join()
            asked.send((child.exitcode, here.recv() if here.poll() else None))


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """The input, what a build of it publishes, how many file operations it took, and a server for more builds."""

    source: Path
    wanted: dict[str, str]
    operations: int
    server: Connection

    def build(self, root: Path, fault: Fault | None) -> int:
        """The exit code of a build in a child."""
        self.server.send((root, fault))
        code, _ = self.server.recv()
        return int(code)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    source, root = folder / "input", folder / "corpus"
    write_input(source)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(source, folder / "warm", there))
    server.start()
    there.close()
    here.send((root, None))
    code, operations = here.recv()
    assert code == 0
    yield Undisturbed(source=source, wanted=published(root), operations=operations, server=here)
    here.close()
    server.join()


def resumed(undisturbed: Undisturbed, root: Path, kind: FaultKind, at: int) -> None:
    code = undisturbed.build(root, Fault(at=at, kind=kind))
    assert code == (files.EXIT_BY_FAULT if kind == "exit" else 1), f"the fault at {at} ended with {code}"
    assert undisturbed.build(root, None) == 0
    assert published(root) == undisturbed.wanted, f"another result after {kind} at operation {at}"


@pytest.mark.parametrize("part", range(6))
def test_an_exit_somewhere(undisturbed: Undisturbed, tmp_path: Path, part: int) -> None:
    resumed(undisturbed, tmp_path / "corpus", "exit", random.Random(part).randrange(undisturbed.operations))


@pytest.mark.parametrize("kind", ["eio", "enospc", "short"])
def test_a_failing_disk_somewhere(undisturbed: Undisturbed, tmp_path: Path, kind: FaultKind) -> None:
    resumed(undisturbed, tmp_path / "corpus", kind, random.Random(kind).randrange(undisturbed.operations))


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_an_exit_at_every_operation(undisturbed: Undisturbed, tmp_path: Path, part: int) -> None:
    for at in range(part, undisturbed.operations, PARTS):
        resumed(undisturbed, tmp_path / str(at), "exit", at)
        shutil.rmtree(tmp_path / str(at))


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["eio", "enospc", "short"])
def test_a_failing_disk_at_every_tenth_operation(undisturbed: Undisturbed, tmp_path: Path, kind: FaultKind) -> None:
    for at in range(3, undisturbed.operations, 10):
        resumed(undisturbed, tmp_path / str(at), kind, at)
        shutil.rmtree(tmp_path / str(at))


def test_what_no_manifest_names_is_not_waited_for_and_made_anew(
    undisturbed: Undisturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of power may leave any bytes in files that were not synced: they are compared with hashes before they are used."""
    root, fsync, synced = tmp_path / "corpus", os.fsync, set()

    def record(handle: int) -> None:
        here = os.fstat(handle)
        synced.update(path for path in (root / ".state").rglob("*") if os.path.samestat(path.stat(), here))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    build(settings(undisturbed.source), root)
    assert published(root) == undisturbed.wanted
    assert synced == set()
    monkeypatch.undo()
    for records in (False, True):
        for path in root.rglob("manifest.json"):
            path.unlink()
        lost = [path for path in (root / ".state").rglob("*") if path.is_file() and (path.suffix == ".json") == records]
        assert len(lost) > 5
        for path in lost:
            path.write_bytes(bytes(path.stat().st_size))
        build(settings(undisturbed.source), root)
        assert published(root) == undisturbed.wanted, (
            f"another result after zeros in {'records' if records else 'what they name'}"
        )


KILLED = """
import sys
from pathlib import Path
from tokenmill.flows.build import build
from tests_settings import settings

if __name__ == "__main__":
    build(settings(Path(sys.argv[1])), Path(sys.argv[2]), workers=2)
"""


def test_a_build_with_two_workers_killed_and_run_again(undisturbed: Undisturbed, tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    (tmp_path / "tests_settings.py").write_text(Path(__file__).read_text())
    root = tmp_path / "corpus"
    parent = subprocess.Popen([sys.executable, tmp_path / "killed.py", undisturbed.source, root])
    deadline = time.monotonic() + 120
    while not (root / "language" / "manifest.json").exists():
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert not (root / "manifest.json").exists()
    build(settings(undisturbed.source), root, workers=2)
    assert published(root) == undisturbed.wanted
