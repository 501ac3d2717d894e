"""Landlock: takes the file system and TCP away from this process, for good.

Source: Documentation/userspace-api/landlock.rst of Linux; the constants are those of include/uapi/linux/landlock.h.
Guarantee: after `restrict` no path can be opened, made or removed, except that files below `readable` can be read. TCP needs a
kernel with ABI 4 (6.7), signals to others and abstract sockets one with ABI 6 (6.12). Only the calling thread and its later
children are bound, so call it while there is one thread.
Cost: 20 us.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of the system calls; they are the same on all architectures."""
VERSION_FLAG = 1
PATH_BENEATH = 1
READ_FILE, READ_DIR = 1 << 2, 1 << 3
NETWORK = 0b11
"""Binding and connecting of TCP."""
SCOPES = 0b11
"""Abstract Unix sockets and signals of processes outside."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def abi() -> int:
    """The version of Landlock that this kernel offers; 0 if it has none, or has it turned off."""
    found: int = ctypes.CDLL(None, use_errno=True).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG)
    return max(0, found)


def restrict(readable: Sequence[str] = ()) -> bool:
    """Restrict this thread. False if the kernel has no Landlock. The process must have set no_new_privs. Raises OSError."""
    version = abi()
    if not version:
        return False
    files = (1 << (13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16)) - 1
    rules = _Ruleset(files=files, network=NETWORK if version >= 4 else 0, scopes=SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = _Beneath(access=READ_FILE | READ_DIR, parent=parent)
                _call(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0)
            finally:
                os.close(parent)
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _call(number: int, *arguments: object) -> int:
    found = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: system call {number}: {os.strerror(code)}")
    return int(found)
