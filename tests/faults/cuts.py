"""Kills and power losses inside the test's process, which cost no process of their own.

At a file operation the folder is kept as it stands there, and put back after the operation was unwound: what a process does
after it was killed does not count.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.power import Power
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.files.faults import Operation

IN_PLACE = (".lock", "names")
"""The files that are not written by rename: the lock and the journal."""


def same(source: str, target: str) -> None:
    """Keep a file as it is now. It stays the same file for readers that have it open."""
    (shutil.copy2 if Path(source).name in IN_PLACE else os.link)(source, target)


class Killed(BaseException):
    """Unwinds what is killed."""


@dataclass
class Cut:
    """Whether what ran was cut short. A power loss may also come right after its end."""

    short: bool = False


@contextlib.contextmanager
def cut_off(root: Path, at: int, power_seed: int | None) -> Iterator[Cut]:
    """Kill what runs in the block at file operation `at`: the folder stays as it is there, whatever unwinding cleans up.

    With `power_seed` it is the machine that stops, there or when the block ends: what was not synced may be lost.
    """
    disk, aside = root.parent, root.parent.with_name("aside")
    cut, power = Cut(), None if power_seed is None else Power(disk)

    def stop() -> None:
        if power is None:
            shutil.copytree(disk, aside, copy_function=same)
        else:
            power.fail(aside, power_seed)

    def watcher(operation: Operation, path: Path) -> None:
        if power is not None:
            power.watch(operation, path)
        if files.operations() == at and not cut.short:
            cut.short = True
            stop()
            raise Killed

    files.inject(None)
    files.watch(watcher)
    try:
        with contextlib.suppress(Killed):
            yield cut
    finally:
        files.watch(None)
    if power is not None:
        if not cut.short:
            stop()
        power.close()
    if aside.exists():
        shutil.rmtree(disk)
        aside.rename(disk)
