"""Mutants of every format: no crash, no traceback, no silent loss, bounded memory and time.

`make test` runs a few of them, always the same. `make soak` runs each format for its share of `--fuzz-seconds`, with the
mutants that `--soak-seed` draws.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.formats import EVERY, share_of, soaked

ROOT = Path(__file__).parents[2]


def fuzz(saved: Path, *arguments: object) -> str:
    """Run the command, and require that no mutant failed. Returns its figures."""
    command = [sys.executable, "-m", "tests.fuzz", "--saved", saved, *arguments]
    done = subprocess.run(
        [*map(str, command)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=6000
    )
    assert done.returncode == 0, f"mutants that failed are in {saved}\n{done.stdout}"
    return done.stdout


def test_mutants_of_every_format(tmp_path: Path) -> None:
    assert "     0 " in fuzz(tmp_path, "--only", EVERY, "--inputs", 60)


def test_mutants_of_our_own_files(tmp_path: Path) -> None:
    fuzz(tmp_path, "--only", "config", "state", "store", "--inputs", 150)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("format", soaked())
def test_many_mutants(tmp_path: Path, request: pytest.FixtureRequest, format: str) -> None:
    seconds = request.config.getoption("--fuzz-seconds") * share_of(format)
    print(fuzz(tmp_path, "--only", format, "--seconds", seconds, "--seed", request.config.getoption("--soak-seed")))


def test_a_fault_is_found_named_and_saved(tmp_path: Path) -> None:
    """The fuzzer itself: a process that dies, one that hangs, one that raises and one that takes memory are four failures."""
    found = subprocess.run(
        [sys.executable, "-c", HOSTILE, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert found.stdout.split() == ["SIGSEGV", "late", "ValueError", "memory"]
    assert sorted(path.read_bytes() for path in tmp_path.glob("saved/*")) == [b"abort", b"hang", b"raise", b"take"]


HOSTILE = """
import os, signal, sys, time
from pathlib import Path
from tests.fuzz import campaign, child
from tests.fuzz.campaign import Campaign
from tests.fuzz.mutate import Mutant
from tests.fuzz.seeds import Seed

campaign.PEAK_BYTES, campaign.WALL_SECONDS = 100 << 20, 2
here = Path(sys.argv[1])

def check(batch, folder):
    for one in batch:
        if one.data == b"abort":
            os.kill(os.getpid(), signal.SIGSEGV)
        if one.data == b"hang":
            time.sleep(60)
        if one.data == b"raise":
            raise ValueError
        if one.data == b"take":
            b"x" * (200 << 20)
    return []

seeds = [Seed(format="x", ending=".x", data=b"fine")]
wanted = iter([b"fine", b"abort", b"fine", b"hang", b"raise", b"fine", b"take", b"fine"])
made = lambda seed, others, draw: Mutant(seed=seed, data=next(wanted), how="", damaged=False)
run = Campaign(format="x", seeds=seeds, others=seeds, check=check, batch=8, folder=here, saved=here / "saved", make=made)
for one in run.run(seed=0, inputs=8).failures:
    names = {"SIGSEGV": "SIGSEGV", "not done": "late", "ValueError": "ValueError", "MiB": "memory"}
    print(next(name for said, name in names.items() if said in one.problem))
"""
