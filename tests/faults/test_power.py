"""Lose power at file operation k of a small build, and again while it is resumed: the same bytes, and nothing else, in the end.

Files that were not synced are lost, cut or garbled, and names that were not synced come and go, in any order: see `power`.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.builds import Undisturbed, names, published
from tests.faults.power import Power, PowerLoss
from tokenmill.pipeline.base import files

SOAKED, SOAKED_AT_ONCE = 500, 20
"""Power losses, two in each sequence of builds."""


OLD, NEW = b"old" * 10, b"new" * 1000


def left_of(disk: Path, after: Path, *, durable: bool) -> set[bytes | None]:
    """All that 200 power losses leave of a file which is replaced by `NEW`; None is no file."""
    files.write_bytes(disk / "file", OLD)
    power = Power(disk)
    files.watch(power.watch)
    files.write_bytes(disk / "file", NEW, durable=durable)
    files.watch(None)
    found: set[bytes | None] = set()
    for seed in range(200):
        power.fail(after, seed)
        found.add((after / "file").read_bytes() if (after / "file").exists() else None)
        shutil.rmtree(after)
    power.close()
    return found


def test_the_model_spares_what_is_synced_and_nothing_else(tmp_path: Path) -> None:
    disk, after = tmp_path / "disk", tmp_path / "after"
    assert left_of(disk, after, durable=True) == {NEW}
    found = left_of(disk, after, durable=False)
    assert {OLD, NEW, b"", bytes(len(NEW))} <= found
    assert None not in found, "the old name was synced, and replaced in one step"
    assert any(0 < len(one) < len(NEW) and one != OLD for one in found if one is not None)
    assert any(len(one) == len(NEW) and one not in (NEW, bytes(len(NEW))) for one in found if one is not None)


def survives(undisturbed: Undisturbed, disk: Path, seed: int) -> None:
    """Lose power in the first build, and in the one that resumes it or after its end; then build to the end."""
    chosen = random.Random(seed)
    disk.mkdir()
    root = disk / "corpus"
    for number in range(2):
        loss = PowerLoss(at=chosen.randrange(undisturbed.operations), seed=seed * 10 + number)
        assert undisturbed.build(root, loss) == files.EXIT_BY_FAULT, f"{loss} did not come to pass"
    assert undisturbed.build(root, None) == 0, f"no build after the power losses of {seed=}"
    assert published(root) == undisturbed.wanted, f"another result after the power losses of {seed=}"
    # Other records of builds may come back where their removal was not synced: a later build replaces them.
    others = names(root) - undisturbed.names
    assert [name for name in others if name.endswith(files.TEMPORARY) or not name.startswith(".state/")] == [], f"{seed=}"


@pytest.mark.parametrize("seed", range(2))
def test_a_power_loss_somewhere(undisturbed: Undisturbed, tmp_path: Path, seed: int) -> None:
    survives(undisturbed, tmp_path / "disk", seed)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(SOAKED // SOAKED_AT_ONCE))
def test_many_power_losses(undisturbed: Undisturbed, tmp_path: Path, part: int) -> None:
    for seed in range(1000 + part * SOAKED_AT_ONCE, 1000 + (part + 1) * SOAKED_AT_ONCE, 2):
        survives(undisturbed, tmp_path / str(seed), seed)
        shutil.rmtree(tmp_path / str(seed))


def test_a_power_loss_after_a_build_takes_nothing_of_it(undisturbed: Undisturbed, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert undisturbed.build(disk / "corpus", PowerLoss(at=10**9, seed=1)) == files.EXIT_BY_FAULT
    assert published(disk / "corpus") == undisturbed.wanted
