"""Protects a corpus folder: one writer at a time, no leftovers of writers that died, nothing removed that is not ours.

Guarantee: only files that the journal or the caller names are removed. For the lock, see `lockfile`.
Cost: `sweep` and `clear` list the folder, and read the journal once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import socket
import time
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from tokenmill.pipeline.base.errors import InputError, Locked
from tokenmill.pipeline.base.files import journal, names, owner, tree
from tokenmill.pipeline.base.files.lockfile import LOCK, lock_file
from tokenmill.pipeline.base.files.marker import MARKER, Marker, Owner, marker
from tokenmill.pipeline.base.files.names import Temporary
from tokenmill.pipeline.base.files.write import remove, write_bytes, write_json

FORGOTTEN_SECONDS = 86_400
"""A temporary file of a writer on another host that no run stands for is left alone until it is so old."""


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold the one lock of the folder `root`, which is made if it does not exist.

    If it is a corpus folder, its marker names this run meanwhile. It may also be a folder in a corpus (that of the model).
    Raises Locked, naming the holder, if another process holds it; NotOurs if `.lock` is no regular file.
    """
    tree.make(root)
    me = _me()
    with lock_file(root, me):
        found = marker(root)
        if found is not None:
            mark(root, found, me)
            journal.separate(root)
        elif tree.root_of(root) is not None:
            owner.hold_lock(root, root / LOCK)
        try:
            with _unmarking(root):
                yield
        finally:
            owner.release(root)


@contextlib.contextmanager
def _unmarking(root: Path) -> Iterator[None]:
    """Take this run's name out of the marker at the end of the block."""
    whole = False
    try:
        yield
        whole = True
    finally:
        # After an error, that one is to be told: an owner who is left in the marker does no harm.
        with contextlib.nullcontext() if whole else contextlib.suppress(OSError, Locked):
            _leave(root)


def mark(root: Path, as_: Marker, me: Owner | None = None) -> None:
    """Write the marker of the corpus folder `root`, with this run as its owner. Call this under its lock."""
    me = me or as_.owner or _me()
    write_json(root / MARKER, dataclasses.replace(as_, owner=me).plain())
    owner.hold(root, me.token)


def fence(root: Path) -> None:
    """Cut off all who write to the corpus folder `root` for the run of this process, which goes on under a new token.

    Call this under its lock, when no task of the run should be at work: a worker that was given up, or taken for dead, changes
    nothing after it. Nothing happens where this process holds no lock. Raises Locked, OSError.
    """
    if owner.token_of(root) is None:
        return
    owner.require(root)
    found = marker(root)
    if found is not None and found.owner is not None:
        mark(root, found, dataclasses.replace(found.owner, token=secrets.token_hex(16)))
        sweep(root)


def _leave(root: Path) -> None:
    found = marker(root)
    if found is not None and found.owner is not None:
        owner.require(root)
        write_json(root / MARKER, dataclasses.replace(found, owner=None).plain())


def _me() -> Owner:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    return Owner(token=secrets.token_hex(16), process=os.getpid(), host=socket.gethostname(), since=since)


def sweep(root: Path, folder: Path | None = None, *, without: Path | None = None) -> None:
    """Remove the temporary files of writers that died: all in the corpus folder `root`, or those below `folder`.

    `without`: a folder that is left alone. Call this only under the lock of what is swept. Raises OSError.

    A temporary file is ours if its name has the id of the corpus, or if the journal has the name that it was to become. One of
    a run that has lost its lock is removed even while its writer lives: that writer must not put it in place any more.
    """
    found = marker(root)
    known = {MARKER, *journal.noted(root)} if found is not None else set()
    run = found.owner.token[: names.DIGITS] if found is not None and found.owner is not None else names.NONE
    for path in list(tree.listed(folder or root)):
        left = names.parsed(path.name)
        if left is None or (without is not None and without in path.parents):
            continue
        cut_off = left.run not in (names.NONE, run)
        if not cut_off and _may_write(left, path):
            continue
        ours = found is None or found.id[: names.DIGITS] == left.corpus or left.name == LOCK
        if ours or path.with_name(left.name).relative_to(root).as_posix() in known:
            remove(path)


def _may_write(left: Temporary, path: Path) -> bool:
    """Whether the writer of a temporary file may still be at work."""
    if left.host in (None, names.host()):
        return _is_alive(left.process)
    if left.host.rpartition("-")[0] == names.host().rpartition("-")[0]:
        return False  # before this host was started again
    if left.run != names.NONE:
        return True
    try:
        return time.time() - os.lstat(path).st_mtime < FORGOTTEN_SECONDS
    except FileNotFoundError:
        return False


def _is_alive(process: int) -> bool:
    """Whether a process other than this one runs under this number. One that has ended and was not waited for does not."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b") ")[2][:1] not in (b"Z", b"X")
    except OSError:
        return True


def clear(
    folder: Path, *, keep: Collection[Path] = (), kinds: Collection[str] | None = None, durable: bool = True
) -> list[Path]:
    """Remove all files below `folder` that are ours, but for those to `keep`. Returns the others, which stay.

    In a corpus, ours are the files that its journal names; elsewhere, all. `kinds`: only files with these suffixes.
    `durable`: see `remove`. Raises NotOurs, OSError.
    """
    root = tree.root_of(folder / "x")
    known = None
    foreign = []
    for path in list(tree.listed(folder)):
        if path in keep:
            continue
        if kinds is not None and path.suffix not in kinds:
            foreign.append(path)
            continue
        if root is not None:
            known = journal.noted(root) if known is None else known
            if tree.name_of(root, path) not in known:
                foreign.append(path)
                continue
        remove(path, durable=durable)
    return foreign


def settle(root: Path) -> None:
    """Leave in the journal only names of files that are still there, each once. Call this under the lock of the corpus."""
    others = journal.of_hosts(root)
    with journal.replacing(root) as noted:
        noted.update(*map(journal.names_of, others))
        there = sorted(name for name in noted if os.path.lexists(root / name))
        write_bytes(root / journal.JOURNAL, journal.lines_of(there))
    for path in others:
        remove(path)


def inside(root: Path, name: str) -> Path:
    """`root / name`, for a name that comes from data. Raises InputError if it leads out of `root`."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise InputError(f"{name!r} points outside its folder")
    return root / pure
