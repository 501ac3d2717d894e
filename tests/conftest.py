"""Fixtures that several test modules share, and the option that runs a part of the soak tests."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.folders import write_corpus
from tests.stores import bucket as bucket
from tests.stores import s3_port as s3_port
from tokenmill.pipeline.stages.step import Work

# The first example compiles kernels where their cache is cold: no deadline holds for it.
settings.register_profile("tokenmill", deadline=None)
settings.load_profile("tokenmill")

LEFT_OUT = pytest.StashKey[int]()
"""How many soak tests `--soak-part` leaves out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tokenmill")
    group.addoption("--soak-part", metavar="K/N", help="of the soak tests, those whose hash falls in part K of N (1/1: all)")
    group.addoption("--soak-seed", metavar="SEED", default="0", help="other parts with another seed (default: 0)")
    group.addoption(
        "--fuzz-seconds", type=float, default=120.0, metavar="S", help="of the soak tests, how long mutants run in all"
    )


def pytest_configure(config: pytest.Config) -> None:
    part = config.getoption("--soak-part")
    number, _, parts = (part or "1/1").partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise pytest.UsageError(f"--soak-part {part}: write it as K/N with K from 1 to N, for example 2/8")


def pytest_make_parametrize_id(val: object) -> None:
    """Refuses gzip with the time in it: workers that collect in two different seconds would have tests of other names."""
    if isinstance(val, bytes) and val[:2] == b"\x1f\x8b" and any(val[4:8]):
        raise pytest.UsageError("gzip in a parameter names its test: compress it with mtime=0")


def in_part(nodeid: str, part: str, seed: str) -> bool:
    """Whether a test is in part "K/N", by the SHA-256 of the seed and its id."""
    number, parts = part.split("/")
    digest = hashlib.sha256(f"{seed}:{nodeid}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % int(parts) == int(number) - 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part, seed = config.getoption("--soak-part"), config.getoption("--soak-seed")
    if part is None:
        return
    out = [item for item in items if item.get_closest_marker("soak") and not in_part(item.nodeid, part, seed)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in set(out)]
    config.stash[LEFT_OUT] = len(out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker of xdist collects the same tests, and the summary is printed by the process that collects none."""
    left_out = getattr(node, "workeroutput", {}).get("soak_left_out")
    if left_out is not None:
        node.config.stash[LEFT_OUT] = left_out


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["soak_left_out"] = session.config.stash.get(LEFT_OUT, None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, None)
    if left_out is not None:
        part, seed = config.getoption("--soak-part"), config.getoption("--soak-seed")
        terminalreporter.write_line(f"{left_out} soak tests are not in part {part} (seed {seed}) and were left out")


@pytest.fixture(autouse=True)
def _signals_are_heard() -> None:
    """A shell's background jobs ignore SIGINT, `nohup` makes them ignore SIGHUP, and modules of workers ignore SIGINT when they
    are imported: so would tests, and what they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _disk_that_never_loses_power() -> Iterator[None]:
    """Waits for the disk are a third of the time of many tests, and change nothing that they look at.

    Tests of what is waited for put themselves in the place of `os.fsync`, and `faults/power` is a model of what is lost
    without it. Commands and workers that tests start wait all the same.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip(f"needs the real data in {folder}, which is not there")
    return folder


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Work]:
    """Builds a finished `collect` stage by hand: `make_corpus({"a/0": ["text", ...], ...})` -> Work after it.

    The document in row 3 of shard "a/0" has the identity "0:3" in the source "a".
    """

    def make(texts: Mapping[str, Sequence[str]], folder: str = "corpus") -> Work:
        return write_corpus(tmp_path / folder, texts)

    return make
