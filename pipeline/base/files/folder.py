"""Protects a corpus folder: one writer at a time, no leftovers of writers that died, no name that leads out of it.

Guarantee: the lock is the operating system's, so it ends with the process, however the process ends.
Cost: `sweep` lists the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tokenmill.pipeline.base.errors import InputError, Locked
from tokenmill.pipeline.base.files.write import TEMPORARY, remove


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold the one lock of the corpus folder `root`, which is made if it does not exist.

    Raises Locked, naming the holder, if another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".lock", "a+b", buffering=0) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().decode(errors="replace").strip() or "a process that has just started"
            raise Locked(f"{root} is locked: {holder} is writing to it; wait until it ends, or choose another --out") from error
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {since} UTC".encode())
        try:
            yield
        finally:
            handle.truncate(0)


def sweep(root: Path) -> None:
    """Remove the temporary files of writers that died. Call this only under the lock of the corpus. Raises OSError."""
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(TEMPORARY):
                remove(Path(folder, name))


def inside(root: Path, name: str) -> Path:
    """`root / name`, for a name that comes from data. Raises InputError if it leads out of `root`."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise InputError(f"{name!r} points outside its folder")
    return root / pure
