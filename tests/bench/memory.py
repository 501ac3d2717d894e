"""The memory and the CPU time of this process and of all that it started, while a block runs. Linux only.

Two sums over the processes: their resident sets, in which pages that several map count several times, and their proportional
sets, in which each page counts once. Both hold pages of files that are mapped, which the system may take back.
Cost: a thread that reads /proc every fifth of a second, and misses what is shorter.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 0.2


@dataclass(kw_only=True)
class Peak:
    """The highest sums seen, in bytes, and the sum of CPU time."""

    resident: int = 0
    proportional: int = 0
    driver: int = 0
    """Of this process alone: memory of its own, without mapped files."""
    worker: int = 0
    """The same of the largest other process."""
    cpu_seconds: float = 0.0
    """Of the whole block, also of processes that were there before; not of those that ended in it."""


@contextlib.contextmanager
def watched() -> Iterator[Peak]:
    """The peak of the block, complete when it ends."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while True:
            sizes = [_sizes(process) for process in _family(os.getpid())]
            peak.resident = max(peak.resident, sum(resident for resident, _, _ in sizes))
            peak.proportional = max(peak.proportional, sum(proportional for _, proportional, _ in sizes))
            peak.driver = max(peak.driver, sizes[0][2])
            peak.worker = max([peak.worker, *(own for _, _, own in sizes[1:])])
            if ended.wait(SECONDS):
                return

    begun = {process: _cpu_seconds(process) for process in _family(os.getpid())}
    thread = threading.Thread(target=watch, daemon=True, name="memory")
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        peak.cpu_seconds = sum(_cpu_seconds(process) - begun.get(process, 0.0) for process in _family(os.getpid()))


def cpu_seconds() -> float:
    """CPU seconds of this process, and of those that it has waited for."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _cpu_seconds(process: int) -> float:
    """Of all threads, in user and system mode; 0 for a process that has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _family(process: int) -> list[int]:
    """The process, its children, and theirs."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in parentheses, may hold anything.
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    family = [process]
    for member in family:
        family += children.get(member, [])
    return family


def _sizes(process: int) -> tuple[int, int, int]:
    """Resident and proportional set of a process, and the part that is no file's; zeros for one that has ended."""
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0, 0, 0
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(Rss|Pss|Anonymous):\s+(\d+) kB", text, re.MULTILINE)}
    return found.get("Rss", 0), found.get("Pss", 0), found.get("Anonymous", 0)
