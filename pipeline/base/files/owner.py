"""Who writes to a corpus: the run that holds its lock says so in the marker, and every write compares.

Guarantee: a run whose lock was lost (its `.lock` was removed, and another run began) changes nothing more: the next file that
it wants to put in place, or to remove, ends it with Locked. The same holds for a run whose folder was moved away, whatever
stands under its name now, and for one that holds the lock of a folder in a corpus.
Cost: one `stat` and one read of the marker for each file written under a lock.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from tokenmill.pipeline.base.errors import Locked
from tokenmill.pipeline.base.files import tree
from tokenmill.pipeline.base.files.marker import marker

Held = Mapping[tuple[int, int] | str, str]
"""By corpus folder (device and inode, and also absolute path), the token of the run that holds its lock."""
_held: dict[tuple[int, int] | str, str] = {}
_of_task: ContextVar[Held | None] = ContextVar("held", default=None)
"""In a worker that may work for several runs: what the run of the present task holds."""
_locks: dict[Path, tuple[Path, tuple[int, int]]] = {}
"""By folder in a corpus, the lock file that this process holds there, and its device and inode."""


def hold(root: Path, token: str) -> None:
    """From now on this process writes to the corpus folder `root` only while its marker names the run `token`."""
    _held[_identity(root)] = _held[os.path.abspath(root)] = token


def hold_lock(folder: Path, lock: Path) -> None:
    """From now on this process writes below `folder`, which is in a corpus, only while the file `lock` is the one of now."""
    _locks[Path(os.path.abspath(folder))] = Path(os.path.abspath(lock)), _identity(lock)


def release(root: Path) -> None:
    """This process no longer writes to `root` for a run."""
    _locks.pop(Path(os.path.abspath(root)), None)
    token = _held.get(os.path.abspath(root))
    for key in [key for key, held in _held.items() if held == token]:
        del _held[key]


def held() -> Held:
    """What this process holds, for workers that it starts or asks."""
    return dict(_now())


@contextlib.contextmanager
def holding(tokens: Held) -> Iterator[None]:
    """Write in this block, and in this thread, for the run of another process alone, perhaps on another host."""
    # By path: another host has other numbers of devices.
    reset = _of_task.set({root: token for root, token in tokens.items() if isinstance(root, str)})
    try:
        yield
    finally:
        _of_task.reset(reset)


def for_another() -> bool:
    """Whether this thread writes for the run of another process: see `holding`."""
    return _of_task.get() is not None


def _now() -> Held:
    of_task = _of_task.get()
    return _held if of_task is None else of_task


def token_of(root: Path) -> str | None:
    """The token of the run for which this process writes to the corpus folder `root`; None if it holds no lock there."""
    now = _now()
    return (now.get(os.path.abspath(root)) or now.get(_identity(root))) if now else None


def hold_all(tokens: Held) -> None:
    """Write for the run of the process that started this worker. `tokens`: what `held` gave there."""
    _held.update(tokens)


def require(root: Path) -> None:
    """Raises Locked if this process wrote to `root` for a run that another one has replaced since."""
    token = token_of(root)
    if token is None:
        return
    found = marker(root)
    owner = found.owner if found is not None else None
    if owner is None or owner.token != token:
        who = str(owner) if owner else "another run, which has ended"
        raise Locked(f"{root}: this run lost its lock to {who}, so it changes nothing more; run the command again")


def require_lock(path: Path) -> None:
    """Raises Locked if the path is below a folder whose lock this process held, and the lock file is gone or another one."""
    above = Path(os.path.abspath(path)).parents if _locks else ()
    for folder in above:
        lock, held = _locks.get(folder, (None, None))
        if lock is None:
            continue
        try:
            same = _identity(lock) == held
        except OSError:
            same = False
        if not same:
            raise Locked(
                f"{lock}: was removed or replaced, so this run changes nothing more in {folder}; run the command again"
            )


def changing(path: Path) -> Path | None:
    """The corpus folder around a path that is about to change; None outside of all corpora. Raises Locked: see `require`."""
    require_lock(path)
    root = tree.root_of(path)
    if root is not None:
        require(root)
        return root
    now = _now()
    above = {str(folder) for folder in Path(os.path.abspath(path)).parents} if now else set()
    if lost := next((folder for folder in now if folder in above), None):
        raise Locked(
            f"{lost}: this run lost its folder, which is no corpus now, so it changes nothing more; run the command again"
        )
    return None


def _identity(root: Path) -> tuple[int, int]:
    found = os.stat(root)
    return found.st_dev, found.st_ino
