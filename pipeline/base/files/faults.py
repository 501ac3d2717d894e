"""Injected faults at file operations, for tests of what a crash or a failing disk leaves behind.

Purpose: code that writes files counts its operations here, so that a test can make the k-th one fail or end the process
(`inject`), or look at the disk before each of them (`watch`), as a test of power losses does.
Guarantee: without `inject` and `watch` nothing happens here.
Cost: one addition per operation.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EXIT_BY_FAULT = 86
"""The exit status of a process that an injected fault ended."""

Operation = Literal["mkdir", "create", "link", "write", "fsync", "rename", "fsync_folder", "unlink"]
FaultKind = Literal["exit", "eio", "enospc", "short", "memory"]
Watcher = Callable[[Operation, Path], None]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """At file operation number `at` (from 0), end the process, or fail as the operating system or an allocation would."""

    at: int
    kind: FaultKind


@dataclass
class _Process:
    done: int = 0
    fault: Fault | None = None
    watcher: Watcher | None = None


_process = _Process()


def inject(fault: Fault | None) -> None:
    """Restart the count of file operations at 0, and fire `fault` when its turn comes; with None, only count."""
    _process.done = 0
    _process.fault = fault


def watch(watcher: Watcher | None) -> None:
    """Call `watcher` before each file operation, with the path that it changes; with None, stop calling."""
    _process.watcher = watcher


def operations() -> int:
    """The number of file operations of this process since the last `inject`, or since it started."""
    return _process.done


def step(operation: Operation, path: Path) -> FaultKind | None:
    """Count an operation that is about to be done.

    Returns "short" if the caller must end its write halfway, otherwise None. Raises OSError or MemoryError if it must fail.
    """
    if _process.watcher is not None:
        _process.watcher(operation, path)
    number, _process.done = _process.done, _process.done + 1
    fault = _process.fault
    if fault is None or number != fault.at:
        return None
    if fault.kind == "exit":
        os._exit(EXIT_BY_FAULT)
    if fault.kind == "short" and operation == "write":
        return "short"
    if fault.kind == "memory":
        raise MemoryError(f"no memory for {operation} of {path}")
    code = errno.ENOSPC if fault.kind == "enospc" else errno.EIO
    raise OSError(code, os.strerror(code), str(path))
