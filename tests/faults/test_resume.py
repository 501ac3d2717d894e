"""End the process at file operation k of a small build, run it again: the same bytes for every k."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.faults.builds import LittleMemory, Undisturbed, published, settings
from tokenmill.flows.build import build
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.files import Fault, FaultKind

PARTS = 20
"""Of the walk over every operation, so that several workers can share it."""


def resumed(undisturbed: Undisturbed, root: Path, kind: FaultKind, at: int) -> None:
    code = undisturbed.build(root, Fault(at=at, kind=kind))
    assert code == (files.EXIT_BY_FAULT if kind == "exit" else 1), f"the fault at {at} ended with {code}"
    assert undisturbed.build(root, None) == 0
    assert published(root) == undisturbed.wanted, f"another result after {kind} at operation {at}"


@pytest.mark.parametrize("part", range(4))
def test_an_exit_somewhere(undisturbed: Undisturbed, tmp_path: Path, part: int) -> None:
    resumed(undisturbed, tmp_path / "corpus", "exit", random.Random(part).randrange(undisturbed.operations))


@pytest.mark.parametrize("kind", ["eio", "enospc", "short", "memory"])
def test_a_fault_somewhere(undisturbed: Undisturbed, tmp_path: Path, kind: FaultKind) -> None:
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
@pytest.mark.parametrize("kind", ["eio", "enospc", "short", "memory"])
def test_a_disk_or_an_allocation_fails_at_many_operations(undisturbed: Undisturbed, tmp_path: Path, kind: FaultKind) -> None:
    for at in range(3, undisturbed.operations, 10):
        resumed(undisturbed, tmp_path / str(at), kind, at)
        shutil.rmtree(tmp_path / str(at))


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_little_memory_at_any_allocation(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Whatever the failed allocation ends, and however, the next build is the same; and with enough memory none fails."""
    codes = []
    for step in range(12):
        root = tmp_path / str(step)
        codes.append(undisturbed.build(root, LittleMemory(more_bytes=4 * step * step << 20)))
        assert undisturbed.build(root) == 0
        assert published(root) == undisturbed.wanted, f"another result after a build with {4 * step * step} MiB"
        shutil.rmtree(root)
    assert codes[0] != 0
    assert codes[-1] == 0
    # Where an allocation of a Rust library fails, the library ends the process, and nothing can be said.
    assert {*codes} <= {0, 1, -signal.SIGABRT, -signal.SIGALRM}, (
        f"a build crashed instead of saying that memory is short: {codes}"
    )


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
    build(settings(undisturbed.source), root, workers=1)
    assert published(root) == undisturbed.wanted
    assert {path for path in synced if "names" not in path.name} == set(), "of .state, only the journal of names is synced"
    monkeypatch.undo()
    for records in (False, True):
        for path in root.rglob("manifest.json"):
            path.unlink()
        lost = [path for path in (root / ".state").rglob("*") if path.is_file() and (path.suffix == ".json") == records]
        assert len(lost) > 5
        for path in lost:
            path.write_bytes(bytes(path.stat().st_size))
        build(settings(undisturbed.source), root, workers=1)
        assert published(root) == undisturbed.wanted, (
            f"another result after zeros in {'records' if records else 'what they name'}"
        )
