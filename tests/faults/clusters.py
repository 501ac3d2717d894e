"""Clusters on this machine, to kill parts of: two raylets of Ray, or a scheduler of Dask with two workers.

`python -m tests.faults.clusters` keeps two raylets until its standard input ends. It prints their address; on a line `kill` it
kills the second raylet, on `add` it starts another one, and says when that is done.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.test_kills import below

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""What keeps Ray on 127.0.0.1: the nodes of the tests, and a build that joins them."""


def command_line(process: int) -> str:
    """How a process was started, or what it calls itself; "" if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@dataclass(kw_only=True)
class RayNodes:
    """Two raylets, with one CPU each. `options`: of a build that works there."""

    process: subprocess.Popen[str]
    options: tuple[str, ...]

    def _do(self, what: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == f"{what}\n"

    def kill_node(self) -> None:
        """Kill a raylet and its workers, and start another one: it comes while the build goes on."""
        self._do("kill")
        self._do("add")

    def kill_worker(self, chosen: random.Random) -> None:
        """Kill a worker, one with a task if there is any."""
        workers = [one for one in below(self.process.pid) if command_line(one).startswith("ray::")]
        busy = [one for one in workers if command_line(one).startswith("ray::run")] or [
            one for one in workers if "IDLE" in command_line(one)
        ]
        if busy:
            os.kill(chosen.choice(busy), signal.SIGKILL)


@contextlib.contextmanager
def ray_nodes() -> Iterator[RayNodes]:
    """Two raylets on the loopback until the block ends; afterwards none of their processes lives."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **LOOPBACK},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("127.0.0.1:"), address
        yield RayNodes(process=process, options=("--executor", "ray", "--address", address))
    finally:
        processes = below(process.pid)
        process.stdin.close()
        process.stdout.close()
        process.wait(60)
        require_ended(processes)


@dataclass(kw_only=True)
class DaskNodes:
    """A scheduler and two workers, each with a nanny that starts it again."""

    folder: Path
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    options: tuple[str, ...] = ()

    def add(self) -> None:
        """One more worker."""
        command = ["-m", "distributed.cli.dask_worker", "--scheduler-file", str(self.folder / "scheduler.json")]
        more = ["--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder), "--host", "127.0.0.1"]
        self.workers.append(_quietly([sys.executable, *command, *more]))

    def kill_node(self) -> None:
        """Kill a worker and its nanny together, and start another one."""
        gone = self.workers.pop(0)
        for one in reversed(below(gone.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        gone.wait()
        self.add()

    def kill_worker(self, chosen: random.Random) -> None:
        """Kill a worker; its nanny starts another one."""
        inside = [one for nanny in self.workers for one in below(nanny.pid) if "spawn_main" in command_line(one)]
        if inside:
            os.kill(chosen.choice(inside), signal.SIGKILL)


@contextlib.contextmanager
def dask_nodes(folder: Path) -> Iterator[DaskNodes]:
    """A scheduler and two workers on the loopback until the block ends; afterwards none of their processes lives."""
    told = folder / "scheduler.json"
    command = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    scheduler = _quietly([sys.executable, *command, "--scheduler-file", str(told)])
    nodes = DaskNodes(folder=folder, scheduler=scheduler)
    try:
        deadline = time.monotonic() + 60
        while not told.exists():
            assert scheduler.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for _ in range(2):
            nodes.add()
        import json

        nodes.options = ("--executor", "dask", "--address", json.loads(told.read_text())["address"])
        yield nodes
    finally:
        started = [*nodes.workers, scheduler]
        processes = [one for top in started for one in below(top.pid)]
        for top in started:
            top.terminate()
        for top in started:
            top.wait(60)
        require_ended(processes)


def _quietly(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def require_ended(processes: list[int], seconds: float = 30.0) -> None:
    """No process of these may live any more, or start to."""
    deadline = time.monotonic() + seconds
    while left := [one for one in processes if below(one)]:
        assert time.monotonic() < deadline, [command_line(one)[:200] for one in left]
        time.sleep(0.1)


def main() -> None:
    """Keep two raylets: see the module."""
    from ray.cluster_utils import Cluster

    logging.disable(logging.CRITICAL)
    about: dict[str, Any] = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**about, "include_dashboard": False})
    second = cluster.add_node(**about)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line == "kill\n":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**about)
        print(line, end="", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
