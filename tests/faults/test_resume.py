"""End the process at file operation k of a small build, run it again: the same bytes for every k."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.building import build
from pipeline import config, files
from pipeline.errors import TokenmillError
from pipeline.files import Fault, FaultKind

WORDS = ("the", "of", "and", "that", "corpus", "token", "shard", "text", "model", "data", "byte", "word", "line", "merge")
UNPUBLISHED = ("runs", "model", "export")


def write_input(folder: Path) -> None:
    """A few files with duplicates, a broken line, a short text, and enough words for a tokenizer."""
    chosen = random.Random(0)
    folder.mkdir(parents=True)
    texts = [" ".join(chosen.choices(WORDS, k=120)) + ".\n" for _ in range(12)]
    for number, text in enumerate(texts[:8]):
        (folder / f"{number}.txt").write_text(text)
    (folder / "same.txt").write_text(texts[0])
    (folder / "near.txt").write_text(texts[1] + "one more line.\n")
    lines = [json.dumps({"text": text}) for text in texts[8:]] + ['{"text": "cut']
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")


def settings(source: Path) -> config.Config:
    plain = {
        "collect": {"paths": [str(source)], "shard_bytes": 6000, "quarantine_ceiling": 0.2},
        "language": {"threshold": 0.0},
        "quality": {"recipe": "docs@1"},
        "tokenizer": {"vocabulary": 300, "min_frequency": 1},
        "pack": {"shard_tokens": 1000, "validation_fraction": 0.2},
    }
    return config.parse(plain, where="test")


def published(root: Path) -> dict[str, str]:
    """What is published: SHA-256 by name; records of runs and hidden files are not."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not {part for part in path.relative_to(root).parts if part.startswith(".") or part in UNPUBLISHED}
    }


def build_with(source: Path, root: Path, fault: Fault | None) -> int:
    files.inject(fault)
    try:
        build(settings(source), root)
    finally:
        files.inject(None)
    return files.operations()


def counted(source: Path, root: Path, answer: multiprocessing.connection.Connection) -> None:
    files.inject(None)
    build(settings(source), root)
    answer.send(files.operations())


def quietly(source: Path, root: Path, fault: Fault | None) -> None:
    """In a child: an error of ours or of the operating system ends it with 1, and says nothing."""
    try:
        build_with(source, root, fault)
    except (TokenmillError, OSError):
        sys.exit(1)


# Not forked from here: threads of other tests' libraries would not survive the fork.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["flows.building"])


def in_child(source: Path, root: Path, fault: Fault | None) -> int | None:
    child = CHILDREN.Process(target=quietly, args=(source, root, fault))
    child.start()
    child.join()
    return child.exitcode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], int]:
    """The input, what a build of it publishes, and how many file operations it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    source = folder / "input"
    write_input(source)
    here, there = multiprocessing.Pipe()
    child = CHILDREN.Process(target=counted, args=(source, folder / "corpus", there))
    child.start()
    there.close()
    operations = here.recv()
    child.join()
    return source, published(folder / "corpus"), operations


def resumed(undisturbed: tuple[Path, dict[str, str], int], root: Path, kind: FaultKind, at: int) -> None:
    source, wanted, _ = undisturbed
    code = in_child(source, root, Fault(at=at, kind=kind))
    assert code == (files.EXIT_BY_FAULT if kind == "exit" else 1), f"the fault at {at} ended with {code}"
    assert in_child(source, root, None) == 0
    assert published(root) == wanted, f"another result after {kind} at operation {at}"


@pytest.mark.parametrize("part", range(6))
def test_an_exit_somewhere(undisturbed: tuple[Path, dict[str, str], int], tmp_path: Path, part: int) -> None:
    resumed(undisturbed, tmp_path / "corpus", "exit", random.Random(part).randrange(undisturbed[2]))


@pytest.mark.parametrize("kind", ["eio", "enospc", "short"])
def test_a_failing_disk_somewhere(undisturbed: tuple[Path, dict[str, str], int], tmp_path: Path, kind: FaultKind) -> None:
    resumed(undisturbed, tmp_path / "corpus", kind, random.Random(kind).randrange(undisturbed[2]))


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_an_exit_at_every_operation(undisturbed: tuple[Path, dict[str, str], int], tmp_path: Path) -> None:
    for at in range(undisturbed[2]):
        resumed(undisturbed, tmp_path / str(at), "exit", at)
        shutil.rmtree(tmp_path / str(at))


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["eio", "enospc", "short"])
@pytest.mark.timeout(7200)
def test_a_failing_disk_at_every_tenth_operation(
    undisturbed: tuple[Path, dict[str, str], int], tmp_path: Path, kind: FaultKind
) -> None:
    for at in range(3, undisturbed[2], 10):
        resumed(undisturbed, tmp_path / str(at), kind, at)
        shutil.rmtree(tmp_path / str(at))


KILLED = """
import sys
from pathlib import Path
from flows.building import build
from tests_settings import settings

if __name__ == "__main__":
    build(settings(Path(sys.argv[1])), Path(sys.argv[2]), workers=2)
"""


def test_a_build_with_two_workers_killed_and_run_again(undisturbed: tuple[Path, dict[str, str], int], tmp_path: Path) -> None:
    source, wanted, _ = undisturbed
    (tmp_path / "killed.py").write_text(KILLED)
    (tmp_path / "tests_settings.py").write_text(Path(__file__).read_text())
    root = tmp_path / "corpus"
    parent = subprocess.Popen([sys.executable, tmp_path / "killed.py", source, root])
    deadline = time.monotonic() + 120
    while not (root / "language" / "manifest.json").exists():
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert not (root / "manifest.json").exists()
    build(settings(source), root, workers=2)
    assert published(root) == wanted
