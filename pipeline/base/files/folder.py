"""Protects a corpus folder: one writer at a time, no leftovers of writers that died, nothing removed that is not ours.

Guarantee: the lock is the operating system's, so it ends with the process, however the process ends. Only files that the
journal or the caller names are removed.
Cost: `sweep` and `clear` list the folder, and read the journal once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from tokenmill.pipeline.base.errors import InputError, Locked
from tokenmill.pipeline.base.files import journal, owner, tree
from tokenmill.pipeline.base.files.marker import MARKER, Marker, Owner, marker
from tokenmill.pipeline.base.files.write import ID_DIGITS, TEMPORARY, remove, write_bytes, write_json

LOCK = ".lock"
_HOLDER = b"process "
_LEFT = re.compile(rf"\.(.+)\.(\d{{1,10}})(?:-([0-9a-f]{{{ID_DIGITS}}}))?{re.escape(TEMPORARY)}", re.DOTALL)


@contextlib.contextmanager
def lock(root: Path) -> Iterator[None]:
    """Hold the one lock of the corpus folder `root`, which is made if it does not exist. A marker names this run meanwhile.

    Raises Locked, naming the holder, if another process holds it; NotOurs if `.lock` is no regular file, or a hard link.
    """
    tree.make(root)
    with _lock_file(root) as (descriptor, ours):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            said = os.pread(descriptor, 1000, 0)
            holder = said.decode(errors="replace") if said.startswith(_HOLDER) else "another process"
            raise Locked(f"{root} is locked: {holder} is writing to it; wait until it ends, or choose another --out") from error
        me = _me()
        if ours:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _HOLDER + f"{me.process} on {me.host} since {me.since} UTC".encode(), 0)
        found = marker(root)
        if found is not None:
            mark(root, found, me)
            journal.separate(root)
        try:
            yield
        except BaseException:
            # The owner who is left in the marker does no harm, and the first error is the one to tell.
            with contextlib.suppress(OSError, Locked):
                _leave(root)
            raise
        else:
            _leave(root)
        finally:
            owner.release(root)
            if ours:
                os.ftruncate(descriptor, 0)


def mark(root: Path, as_: Marker, me: Owner | None = None) -> None:
    """Write the marker of the corpus folder `root`, with this run as its owner. Call this under its lock."""
    me = me or as_.owner or _me()
    write_json(root / MARKER, dataclasses.replace(as_, owner=me).plain())
    owner.hold(root, me.token)


def _leave(root: Path) -> None:
    found = marker(root)
    if found is not None and found.owner is not None:
        owner.require(root)
        write_json(root / MARKER, dataclasses.replace(found, owner=None).plain())


def _me() -> Owner:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    return Owner(token=secrets.token_hex(16), process=os.getpid(), host=socket.gethostname(), since=since)


@contextlib.contextmanager
def _lock_file(root: Path) -> Iterator[tuple[int, bool]]:
    """The lock file, open, and whether its bytes are ours to change. Raises NotOurs.

    Unknown bytes are those of somebody else, or what a power loss made of ours: such a file is locked, and stays as it is.
    """
    path = root / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise tree.not_ours(path) from error
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise tree.not_ours(path)
        yield descriptor, os.pread(descriptor, len(_HOLDER), 0) in (b"", _HOLDER)
    finally:
        os.close(descriptor)


def sweep(root: Path) -> None:
    """Remove the temporary files of writers that died. Call this only under the lock of the corpus. Raises OSError.

    A temporary file is ours if its name has the id of the corpus, or if the journal has the name that it was to become.
    """
    found = marker(root)
    known = {MARKER, *journal.noted(root)} if found is not None else set()
    for path in list(tree.listed(root)):
        match = _LEFT.fullmatch(path.name)
        if match is None or _is_alive(int(match[2])):
            continue
        ours = found is None or found.id[:ID_DIGITS] == match[3]
        if ours or path.with_name(match[1]).relative_to(root).as_posix() in known:
            remove(path)


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
    there = sorted(name for name in journal.noted(root) if os.path.lexists(root / name))
    write_bytes(root / journal.JOURNAL, journal.lines_of(there))


def inside(root: Path, name: str) -> Path:
    """`root / name`, for a name that comes from data. Raises InputError if it leads out of `root`."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise InputError(f"{name!r} points outside its folder")
    return root / pure
