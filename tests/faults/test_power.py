"""Lose power at file operation k of a small build, and again while it is resumed: the same bytes, and nothing else, in the end.

Files that were not synced are lost, cut or garbled, and names that were not synced come and go, in any order: see `power`.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.builds import Undisturbed, names, published
from tests.faults.power import PowerLoss
from tokenmill.pipeline.base import files

SOAKED, SOAKED_AT_ONCE = 500, 20
"""Power losses, two in each sequence of builds."""


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
