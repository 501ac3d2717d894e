"""Places where a build has little to live on: few open files, a full disk, a disk that nobody may write to.

Each runs in a forked child (see `builds`), with a file system of its own where it needs one, so that nothing outside changes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenmill.pipeline.base.errors import TokenmillError

NOT_HERE = 77
"""Exit code of a child that may not mount file systems."""
NOT_REFUSED = 78
"""Exit code of a child whose build went well, although it could not have."""
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE = 1, 32, 0x4000, 0x40000


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A build under a limit of the operating system: `resource.RLIMIT_NOFILE` (files), `RLIMIT_FSIZE` (bytes)."""

    resource: int
    most: int

    def run(self, root: Path, build: Callable[[], object]) -> None:
        resource.setrlimit(self.resource, (self.most, self.most))
        build()


@dataclass(frozen=True, kw_only=True)
class FullDisk:
    """A build on a disk of `size` bytes, which fills, and again when the disk has grown. The corpus is copied to `kept`."""

    size: int
    kept: Path

    def run(self, root: Path, build: Callable[[], object]) -> None:
        root.parent.mkdir(parents=True, exist_ok=True)
        _mount(root.parent, f"size={self.size}")
        _refused(build, "the disk is full")
        _mount(root.parent, "size=256m", MS_REMOUNT)
        build()
        shutil.copytree(root, self.kept)


@dataclass(frozen=True, kw_only=True)
class ReadOnly:
    """A corpus on a disk that can only be read: a build of it that has nothing to do, and one of another. Copied to `kept`."""

    kept: Path

    def run(self, root: Path, build: Callable[[], object]) -> None:
        root.parent.mkdir(parents=True, exist_ok=True)
        _mount(root.parent, "size=256m")
        build()
        shutil.copytree(root, self.kept / "before")
        _mount(root.parent, "size=256m", MS_REMOUNT | MS_RDONLY)
        _refused(build, "Read-only file system")
        shutil.copytree(root, self.kept / "after")


Environment = Limit | FullDisk | ReadOnly


def _refused(build: Callable[[], object], reason: str) -> None:
    """Require that a build ends with an error that names a file and the reason."""
    try:
        build()
    except (TokenmillError, OSError) as error:
        said = str(error)
        if reason not in said or "/" not in said:
            raise AssertionError(f"the error names no file, or not the reason {reason!r}: {said}") from error
        return
    sys.exit(NOT_REFUSED)


def _mount(place: Path, options: str, flags: int = 0) -> None:
    """Mount memory as a file system at `place`, for this process alone. Exits with NOT_HERE where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not flags & MS_REMOUNT:
        user, group = os.getuid(), os.getgid()
        if libc.unshare(CLONE_NEWNS) != 0:
            if libc.unshare(CLONE_NEWNS | CLONE_NEWUSER) != 0:
                sys.exit(NOT_HERE)
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
                Path("/proc/self", name).write_text(text)
        if libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) != 0:
            sys.exit(NOT_HERE)
    if libc.mount(b"tokenmill-test", os.fsencode(place), b"tmpfs", flags, options.encode()) != 0:
        if ctypes.get_errno() in (errno.EPERM, errno.EACCES):
            sys.exit(NOT_HERE)
        raise OSError(ctypes.get_errno(), "the file system cannot be mounted", str(place))
