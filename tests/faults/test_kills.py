"""SIGKILL for one process of a build with two workers, at a random moment: no process stays, and a resumed build is the same.

The moment is given by how many files there are, so that it is the same part of the build on a slow machine.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.builds import Undisturbed, names, published

SOAKED, SOAKED_AT_ONCE = 200, 10
SOON_SECONDS = 10
"""Within this time after a kill, the build has ended with all its processes, or goes on to its end."""


def parents() -> Mapping[int, int]:
    """The parent of each process that is alive, by process number. Ended ones that nobody has waited for are not."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_bytes().rpartition(b") ")[2].split()[:2]
        except OSError:
            continue  # it has ended
        if state not in (b"Z", b"X"):
            found[int(folder.name)] = int(parent)
    return found


def below(top: int) -> list[int]:
    """A process and all its descendants that are alive, in the order of their numbers."""
    alive = parents()
    found = {top} & {*alive}
    while more := {one for one, parent in alive.items() if parent in found} - found:
        found |= more
    return sorted(found)


def exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def files_in(root: Path) -> int:
    return sum(len(inside) for _, _, inside in os.walk(root))


def killed_and_resumed(undisturbed: Undisturbed, root: Path, seed: int) -> None:
    chosen = random.Random(seed)
    parent = undisturbed.start(root, workers=2)
    many = chosen.randrange(len(undisturbed.names))
    while files_in(root) < many and exists(parent):
        time.sleep(0.005)
    time.sleep(chosen.random() * 0.02)
    processes = below(parent)
    children = [one for one in processes if one != parent]
    victim = parent if chosen.random() < 0.4 or not children else chosen.choice(children)
    if parent in processes:
        os.kill(victim, signal.SIGKILL)
    code = undisturbed.ended()
    ended_at = time.monotonic()
    assert code in ((-signal.SIGKILL, 0) if victim == parent else (0, 1)), f"{seed=} ended with {code}"
    while left := {*processes} & {*parents()}:
        assert time.monotonic() < ended_at + SOON_SECONDS, f"{seed=}: processes {left} of {processes} stay after {victim} died"
        time.sleep(0.01)
    assert undisturbed.build(root) == 0
    assert published(root) == undisturbed.wanted, f"another result after the kill of {seed=}"
    assert names(root) <= undisturbed.names, f"other files after the kill of {seed=}"


def test_a_kill_somewhere(undisturbed: Undisturbed, tmp_path: Path) -> None:
    killed_and_resumed(undisturbed, tmp_path / "corpus", 6)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(SOAKED // SOAKED_AT_ONCE))
def test_many_kills(undisturbed: Undisturbed, tmp_path: Path, part: int) -> None:
    for seed in range(part * SOAKED_AT_ONCE, (part + 1) * SOAKED_AT_ONCE):
        killed_and_resumed(undisturbed, tmp_path / str(seed), seed)
        shutil.rmtree(tmp_path / str(seed))
