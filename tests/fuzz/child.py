"""Runs one function in a forked process with limits, and says how it ended and what it took.

Guarantee: whatever the function does, this process goes on; of its process group nothing stays.
Cost: one fork.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl: the signal that a process gets when the one that started it ends."""
ADDRESS_SPACE = 6 << 30
"""Bytes. Far above every promise: it only keeps a fault from taking the machine with it."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How it went. `answer`: what the function returned; empty if its process ended otherwise, as `problem` then says."""

    answer: list[str]
    problem: str
    cpu_seconds: float
    """Of the process and of all that it started; at most, since one that it waited for may be counted twice."""
    peak_bytes: int
    """Resident memory of the largest of these processes."""


def run(function: Callable[[], list[str]], *, wall_seconds: float, cpu_seconds: int, log: Path) -> Ended:
    """Run `function` in a fork. What it prints goes to `log`. It returns a list of strings."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(function, writing, cpu_seconds, log)
    os.close(writing)
    deadline, late = time.monotonic() + wall_seconds, False
    with open(reading, "rb") as said:
        os.set_blocking(reading, False)
        data, tree = b"", _Tree()
        while True:
            tree.look(child)
            data += said.read() or b""
            pid, status, used = os.wait4(child, os.WNOHANG)
            if pid:
                data += said.read() or b""
                break
            late = late or time.monotonic() > deadline
            if late:
                _end_group(child)
            time.sleep(0.01)
    _end_group(child)
    if late:
        problem = f"not done after {wall_seconds:.0f} s"
    elif os.WIFSIGNALED(status):
        problem = f"ended by {signal.Signals(os.WTERMSIG(status)).name}: {_end_of(log)}"
    elif status:
        problem = f"ended with status {os.WEXITSTATUS(status)}: {_end_of(log)}"
    else:
        problem = ""
    return Ended(
        answer=[] if problem else json.loads(data),
        problem=problem,
        cpu_seconds=used.ru_utime + used.ru_stime + sum(tree.cpu_seconds.values()),
        peak_bytes=max([used.ru_maxrss * 1024, *tree.peak_bytes.values()]),
    )


@dataclass(kw_only=True)
class _Tree:
    """What the processes below one took when they were last seen, by their number: nobody may wait for them."""

    cpu_seconds: dict[int, float] = field(default_factory=dict)
    peak_bytes: dict[int, int] = field(default_factory=dict)

    def look(self, top: int) -> None:
        """Look at all that run now. Of a process, what it took since the last look is missed."""
        waiting = _children(top)
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError, ValueError, IndexError):
                ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
                self.cpu_seconds[pid] = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
                self.peak_bytes[pid] = int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
            waiting += _children(pid)


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for path in Path(f"/proc/{pid}/task").iterdir() for one in (path / "children").read_text().split()]
    except OSError:
        return []


def _in_child(function: Callable[[], list[str]], writing: int, cpu_seconds: int, log: Path) -> None:
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        answer = function()
    except BaseException:  # noqa: BLE001 -- whatever it is, it is shown, and ends this process
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(70)
    with open(writing, "wb") as out_of_here:
        out_of_here.write(json.dumps(answer).encode())
    os._exit(0)


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _end_of(log: Path) -> str:
    return log.read_bytes()[-1_500:].decode(errors="replace") if log.exists() else ""
