"""Builds on Ray and on Dask: the bytes of a local build, also after a part of the cluster, or the build itself, was killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.faults.builds import published
from tests.faults.clusters import LOOPBACK, DaskNodes, RayNodes, command_line, dask_nodes, ray_nodes, require_ended
from tests.faults.test_kills import below, files_in
from tokenmill.pipeline.base.errors import InputError

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]

FILES, DOCUMENTS = 30, 40
SETTINGS = """
stages = ["dedup"]
collect = {{ paths = ["{texts}"], shard_bytes = 65536 }}
tokenizer = {{ vocabulary = 600 }}
"""
KILLS = {"worker": 2, "node": 2, "driver": 2}
"""Seeds for each kind of kill."""
Nodes = RayNodes | DaskNodes


class Case:
    """Texts, settings, and what a local build makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        texts = folder / "texts"
        texts.mkdir()
        chosen = random.Random(5)
        words = ["".join(chosen.choices("abcdefghij", k=chosen.randint(2, 9))) for _ in range(3000)]
        for number in range(FILES):
            lines = [json.dumps({"text": " ".join(chosen.choices(words, k=250))}) for _ in range(DOCUMENTS)]
            (texts / f"{number}.jsonl").write_text("\n".join([*lines, lines[0]]))
        self.settings = folder / "case.toml"
        self.settings.write_text(SETTINGS.format(texts=texts))
        local = folder / "local"
        assert self.start(local, "--workers", "2").wait() == 0
        self.wanted = published(local)
        self.files = files_in(local)

    def start(self, root: Path, *options: str, environment: Mapping[str, str] = {}) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tokenmill", "build", str(self.settings), "--out", str(root), "--no-prefect", *options]
        environment = {**os.environ, **environment}
        with (self.folder / "output.txt").open("ab") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)

    def said(self) -> str:
        return (self.folder / "output.txt").read_text()

    def require(self, root: Path) -> None:
        assert published(root) == self.wanted
        left = [path.name for path in root.rglob("*") if path.name.endswith(".tmp~") or path.name.startswith("names-")]
        assert left == []


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module", params=["ray", "dask"])
def nodes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with ray_nodes() if request.param == "ray" else dask_nodes(tmp_path_factory.mktemp("dask")) as found:
        yield found


def listening(processes: list[int]) -> set[str]:
    """The addresses, in hex, at which these processes wait for connections."""
    sockets = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{process}/fd"):
                with contextlib.suppress(OSError):
                    sockets |= {*re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/{process}/fd/{name}"))}
    rows = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_a_cluster_that_starts_here_listens_on_the_loopback_alone_and_ends_with_the_build(
    name: str, case: Case, tmp_path: Path
) -> None:
    root = tmp_path / "corpus"
    build = case.start(root, "--executor", name, "--workers", "2")
    seen: set[int] = set()
    addresses: set[str] = set()
    statistics: set[bytes] = set()
    while build.poll() is None:
        processes = below(build.pid)
        seen |= {*processes}
        addresses |= listening(processes)
        for process in processes:
            if "dashboard" in command_line(process):
                with contextlib.suppress(OSError):
                    variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
                    statistics |= {one for one in variables if one.startswith(b"RAY_USAGE_STATS_ENABLED")}
        time.sleep(0.2)
    assert build.returncode == 0, case.said()
    case.require(root)
    assert len(seen) > 3
    # 127.0.0.1, as such and inside IPv6.
    assert addresses == {"0100007F", "0000000000000000FFFF00000100007F"} & addresses
    assert addresses
    assert statistics <= {b"RAY_USAGE_STATS_ENABLED=0"}
    assert statistics or name == "dask"
    require_ended(sorted(seen))


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_a_cluster_that_started_here_ends_with_a_build_that_is_killed(name: str, case: Case, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    build = case.start(root, "--executor", name, "--workers", "2")
    processes = until(build, root, case.files // 3)
    build.kill()
    build.wait()
    # Two idle helpers of Ray's want to tell their server for 60 s, which is gone, that their raylet is gone.
    require_ended(processes, 120)
    assert case.start(root, "--workers", "1").wait() == 0, case.said()
    case.require(root)


RAISING = """
import sys
from pathlib import Path
from tests.faults.test_clusters import raising
from tokenmill.flows import execution
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.config import ExecutionConfig

if __name__ == "__main__":
    with execution.opened(ExecutionConfig(executor=sys.argv[1], workers=2), Path(sys.argv[2])) as hands:
        for number in (1, 2):
            try:
                hands.executor.map(raising, [0] * 9 + [number])
            except TokenmillError as error:
                print(type(error).__name__, error)
        print(hands.executor.map(abs, iter(range(-5, 5))))
"""


def raising(number: int) -> int:
    """A task that is wrong, or finds no memory."""
    if number == 1:
        raise InputError("the task is wrong")
    if number == 2:
        raise MemoryError
    return number


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_what_a_task_raises_on_a_cluster_is_raised_here(name: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(RAISING)
    (tmp_path / ".state").mkdir()
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", name, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    lines = done.stdout.splitlines()
    assert lines[0] == "InputError the task is wrong", done.stderr
    assert lines[1].startswith("OutOfMemory raising: not enough memory")
    assert lines[2:] == ["[5, 4, 3, 2, 1, 0, 1, 2, 3, 4]"]
    assert done.stderr == ""


def until(build: subprocess.Popen[bytes], root: Path, many: int) -> list[int]:
    """Wait for so many files. Returns the processes of the build."""
    while files_in(root) < many and build.poll() is None:
        time.sleep(0.005)
    return below(build.pid)


def test_two_nodes_give_the_bytes_of_a_local_build(nodes: Nodes, case: Case, tmp_path: Path) -> None:
    build = case.start(tmp_path / "corpus", *nodes.options, environment=LOOPBACK)
    assert build.wait() == 0, case.said()
    case.require(tmp_path / "corpus")


@pytest.mark.parametrize("begins", ["here", "there"])
def test_a_build_goes_on_elsewhere(begins: str, nodes: Nodes, case: Case, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    ways = [("--workers", "2"), nodes.options]
    first, second = ways if begins == "here" else reversed(ways)
    build = case.start(root, *first, environment=LOOPBACK)
    until(build, root, case.files // 2)
    build.kill()
    build.wait()
    assert case.start(root, *second, environment=LOOPBACK).wait() == 0, case.said()
    case.require(root)


@pytest.mark.parametrize(("kind", "seed"), [(kind, seed) for kind, many in KILLS.items() for seed in range(many)])
def test_a_kill_somewhere_on_a_cluster(kind: str, seed: int, nodes: Nodes, case: Case, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    chosen = random.Random(f"{kind} {seed}")
    build = case.start(root, *nodes.options, environment=LOOPBACK)
    processes = until(build, root, chosen.randrange(case.files // 10, case.files * 8 // 10))
    if kind == "driver":
        os.kill(build.pid, signal.SIGKILL)
    elif kind == "node":
        nodes.kill_node()
    else:
        nodes.kill_worker(chosen)
    code = build.wait()
    require_ended(processes)
    assert code == (-signal.SIGKILL if kind == "driver" else 0), case.said()
    if kind == "driver":
        assert case.start(root, *nodes.options, environment=LOOPBACK).wait() == 0, case.said()
    case.require(root)
    shutil.rmtree(root)
