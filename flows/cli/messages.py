"""What a failed command says: the file, what happened, and what to do.

Guarantee: an error of the system is never shown without a file or the command it happened in. Cost: none until there is one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.shortage import disk_full

REMEDIES: Mapping[int, str] = {
    errno.EACCES: "choose another folder, or make this one readable and writable for you",
    errno.EPERM: "choose another folder, or make this one writable for you",
    errno.EROFS: "choose a folder on a disk that can be written",
    errno.ENOSPC: "make room, or use another disk (`df -h` shows what is free)",
    errno.EDQUOT: "make room, or use another disk (`quota` shows what is yours)",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file; check the path",
    errno.EISDIR: "give a file, not a folder",
    errno.EEXIST: "something of that name is there already; choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a link leads back to itself; give the real path",
    errno.EMFILE: "raise the limit of open files (`ulimit -n 4096`), or use fewer --workers",
    errno.ENFILE: "close other programs; the machine has too many open files",
    errno.EIO: "the disk or the network drive failed; check it, and run the same command again",
    errno.ESTALE: "the network drive was taken away; mount it again, and run the same command again",
    errno.EADDRINUSE: "another program uses this port; choose another one",
}
"""What to do, by the number of an error."""


def message(error: BaseException, command: str) -> str | None:
    """The message for an error that the user can fix; None for any other error. `command`: what was run."""
    if isinstance(error, TokenmillError):
        return str(error)
    if not isinstance(error, OSError):
        return None
    name = _name(error)
    if name is not None and (full := disk_full(error, Path(name))) is not None:
        return str(full)
    what = error.strerror or str(error) or type(error).__name__
    remedy = REMEDIES.get(error.errno or 0)
    if name is None:
        # The system names no file when bytes that were already accepted find no place.
        remedy = remedy or "`tokenmill doctor` shows what this machine has too little of"
        return f"{command}: {what[0].lower()}{what[1:]}; {remedy}"
    return f"{name}: {what}" + (f"; {remedy}" if remedy else "")


def _name(error: OSError) -> str | None:
    """The file that an error is about; None if it names none."""
    names = [os.fsdecode(one) for one in (error.filename, error.filename2) if isinstance(one, str | bytes) and one]
    return " -> ".join(names) or None
