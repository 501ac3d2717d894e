"""The lock file of a folder, `.lock`: one process at a time holds it.

Guarantee: the lock is the operating system's, so it ends with the process, however the process ends. Bytes in the file that are
not ours stay as they are. A hard link to the file in another folder, as a copy by `cp -al` makes, does not lock that folder for
long, and is never written.
Cost: a few system calls.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from tokenmill.pipeline.base.errors import Locked
from tokenmill.pipeline.base.files import names, tree
from tokenmill.pipeline.base.files.marker import Owner, marker

LOCK = ".lock"
_HOLDER = re.compile(rb"process \d+ on \S* since [-0-9: ]+ UTC")
_MOST_BYTES = 1000


@contextlib.contextmanager
def lock_file(root: Path, me: Owner) -> Iterator[None]:
    """Hold the lock file of the folder `root`, which says meanwhile who holds it: `me`.

    Unknown bytes in it are those of somebody else, or what a power loss made of ours: such a file is locked and not written.
    Raises Locked, NotOurs, OSError.
    """
    with tree.opened(root, tree.root_of(root / LOCK)) as folder:
        descriptor = _locked(root, folder)
    try:
        ours = _is_ours(os.pread(descriptor, _MOST_BYTES, 0))
        if ours:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(me).encode(), 0)
        try:
            yield
        finally:
            if ours:
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _locked(root: Path, folder: int) -> int:
    """The lock file, open and locked. Raises Locked, NotOurs.

    Only the file that has the name `.lock` counts, so whoever locked another one, which was replaced meanwhile, looks again.
    And only who holds it replaces it: by a fresh one, if it is ours and has other names, which lock other folders.
    """
    while True:
        with contextlib.ExitStack() as unless_kept:
            descriptor = _open(root / LOCK, folder, os.O_CREAT)
            # Closing it ends its lock.
            unless_kept.callback(os.close, descriptor)
            _lock(descriptor, root)
            found = os.fstat(descriptor)
            if not _is_named(found, folder):
                continue
            if found.st_nlink > 1 and _is_ours(os.pread(descriptor, _MOST_BYTES, 0)):
                # The fresh one is locked before it gets the name, and this one closed after.
                return _replaced(root / LOCK, folder)
            unless_kept.pop_all()
            return descriptor


def _open(path: Path, folder: int, flags: int) -> int:
    flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path.name, flags, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise tree.not_ours(path) from error
        raise OSError(error.errno, error.strerror, str(path)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise tree.not_ours(path)
    return descriptor


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        said, found = os.pread(descriptor, _MOST_BYTES, 0), marker(root)
        holder = str(found.owner) if found is not None and found.owner is not None else "another process"
        if said and _is_ours(said):
            holder = said.decode(errors="replace")
        raise Locked(f"{root} is locked: {holder} is writing to it; wait until it ends, or use another folder") from error


def _is_ours(data: bytes) -> bool:
    return not data or _HOLDER.fullmatch(data) is not None


def _is_named(found: os.stat_result, folder: int) -> bool:
    try:
        return os.path.samestat(found, os.stat(LOCK, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _replaced(path: Path, folder: int) -> int:
    """Put a new lock file in the place of the one that this process has locked. Returns the new one, open and locked."""
    temporary = names.temporary(LOCK)
    with contextlib.ExitStack() as unless_replaced:
        descriptor = _open(path.with_name(temporary), folder, os.O_CREAT | os.O_EXCL)
        unless_replaced.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.replace(temporary, LOCK, src_dir_fd=folder, dst_dir_fd=folder)
        unless_replaced.pop_all()
    return descriptor
