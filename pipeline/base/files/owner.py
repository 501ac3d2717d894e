"""Who writes to a corpus: the run that holds its lock says so in the marker, and every write compares.

Guarantee: a run whose lock was lost (its `.lock` was removed, and another run began) changes nothing more: the next file that
it wants to put in place, or to remove, ends it with Locked.
Cost: one `stat` and one read of the marker for each file written under a lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from tokenmill.pipeline.base.errors import Locked
from tokenmill.pipeline.base.files.marker import marker

Held = Mapping[tuple[int, int], str]
"""By corpus folder (device, inode), the token of the run that holds its lock."""
_held: dict[tuple[int, int], str] = {}


def hold(root: Path, token: str) -> None:
    """From now on this process writes to the corpus folder `root` only while its marker names the run `token`."""
    _held[_identity(root)] = token


def release(root: Path) -> None:
    """This process no longer writes to `root` for a run."""
    with contextlib.suppress(FileNotFoundError):
        _held.pop(_identity(root), None)


def held() -> Held:
    """What this process holds, for workers that it starts."""
    return dict(_held)


def hold_all(tokens: Held) -> None:
    """Write for the run of the process that started this worker. `tokens`: what `held` gave there."""
    _held.update(tokens)


def require(root: Path) -> None:
    """Raises Locked if this process wrote to `root` for a run that another one has replaced since."""
    token = _held.get(_identity(root)) if _held else None
    if token is None:
        return
    found = marker(root)
    owner = found.owner if found is not None else None
    if owner is None or owner.token != token:
        who = f"process {owner.process} on {owner.host} since {owner.since} UTC" if owner else "another run, which has ended"
        raise Locked(f"{root}: this run lost its lock to {who}, so it changes nothing more; run the command again")


def _identity(root: Path) -> tuple[int, int]:
    found = os.stat(root)
    return found.st_dev, found.st_ino
