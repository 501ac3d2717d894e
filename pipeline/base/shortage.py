"""What a machine has too little of, disk or memory, as errors of ours that say what to do.

Guarantee: every library's way to say it is recognised: MemoryError, also NumPy's and Arrow's; ENOMEM; ENOSPC, EDQUOT and EFBIG.
Cost: none until it happens.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenmill.pipeline.base.errors import DiskFull, OutOfMemory, TokenmillError

SHORT = (
    "can't start new thread",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to map segment",
    "std::bad_alloc",
    "Cannot allocate memory",
    "out of memory",
    "size calculation overflowed",
)
"""What errors say that have no class of their own for it."""
SAYING = (MemoryError, OSError, RuntimeError, ImportError)
"""The classes of errors that may say that memory was short."""
FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "a file may not be larger here (`ulimit -f`)",
}
LEAST_ADDRESSES = 3 << 30
"""Bytes of address space that a build needs (2.7 GB on a small corpus), most of it reserved by libraries and never used. With
less, a thread of theirs that gets none aborts the process, or leaves it waiting (seen from 0.8 to 1.5 GiB)."""


def free_bytes(path: Path) -> int | None:
    """The free bytes of the disk that holds `path`, or will hold it; None if nobody can tell."""
    for folder in (path, *path.absolute().parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                return shutil.disk_usage(folder).free
            except PermissionError:
                return None
    return None


def free_memory() -> dict[str, int]:
    """The bytes that this process can still take of what bounds it: `machine`, `container` and `ulimit -v`, those known."""
    known: dict[str, int] = {}
    with contextlib.suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
        if found:
            known["machine"] = int(found[1]) * 1024
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        # The cache of files counts as used, and is given up when memory is asked for.
        cached = re.search(r"^inactive_file (\d+)", (group / "memory.stat").read_text(encoding="ascii"), re.MULTILINE)
        known["container"] = int(limit) - int(used) + (int(cached[1]) if cached else 0)
    limit_here, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit_here != resource.RLIM_INFINITY:
        known["ulimit -v"] = limit_here
    return known


def total_memory() -> int:
    """The bytes of memory of the machine, or of the container if that has less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return machine


def disk_full(error: BaseException, path: Path, *, written: int = 0) -> DiskFull | None:
    """The error to raise in place of `error` while `path` was written; None if `error` says something else.

    Call it before a part of the file is removed: that makes room, so that the free bytes would say nothing. `written`: the
    bytes of the file that found room.
    """
    if not isinstance(error, OSError) or error.errno not in FULL or isinstance(error, DiskFull):
        return None
    free = free_bytes(path.parent)
    what = FULL[error.errno or 0]
    left = "" if free is None else f" and {free:,} are free"
    return DiskFull(
        f"{path}: {what}: {written:,} bytes of this file were written{left}; make room, or use another disk, and run the same "
        "command again: finished work is kept"
    )


def require_address_space() -> None:
    """Raises OutOfMemory if this process may take less address space than a build needs."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESSES:
        raise OutOfMemory(
            f"processes may take {limit >> 20:,} MiB of address space here, and a build needs {LEAST_ADDRESSES >> 20:,}: "
            "raise the limit (`ulimit -v`)"
        )


@contextlib.contextmanager
def memory(doing: str) -> Iterator[None]:
    """Turn a failed allocation into an error of ours. `doing`: what needed the memory, for the message. Raises OutOfMemory."""
    try:
        yield
    except SAYING as error:
        if not is_memory(error):
            raise
        raise out_of_memory(doing) from error


def is_memory(error: BaseException) -> bool:
    """Whether `error` says that memory was short, in the words of Python, NumPy, Arrow, PyTorch or the dynamic linker."""
    if isinstance(error, TokenmillError) or not isinstance(error, SAYING):
        return False
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # A library that cannot be loaded gives its reason in the error before.
    before = error.__cause__ or error.__context__
    return any(said in str(error) for said in SHORT) or (before is not None and is_memory(before))


def out_of_memory(doing: str) -> OutOfMemory:
    """The error to raise when `doing` found no memory."""
    return OutOfMemory(
        f"{doing}: not enough memory; finished work is kept, so run the same command again with fewer --workers, a smaller "
        "collect.shard_bytes or train.batch_windows, or a higher limit (`ulimit -v`, the memory of the container)"
    )
