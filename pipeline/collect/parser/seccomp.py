"""seccomp: leaves this process the system calls that parsing needs, and refuses all others with EPERM.

Purpose: a parser has its descriptors already. It needs memory, time, reading, and one socket that is connected; it needs no
open, connect, fork, exec, kill or ptrace, whatever the kernel offers next.
Source: Documentation/userspace-api/seccomp_filter.rst of Linux; the numbers are those of asm/unistd.h.
Guarantee: the filter names what is allowed, not what is forbidden. A new thread is allowed, a new process is not. Signals reach
this process alone.
Cost: 30 us once. The kernel remembers which calls are always allowed, so a call costs no more than before.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

PR_SET_SECCOMP, PR_GET_SECCOMP, FILTER = 22, 21, 2
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
"""Instructions of classic BPF: load a word of the call's description, jump if equal, jump if any bit is set, return."""
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Bytes where struct seccomp_data holds them."""
CLONE_THREAD = 0x10000
FCNTL_COMMANDS = (1, 2, 3, 4, 1030)
"""F_GETFD, F_SETFD, F_GETFL, F_SETFL and F_DUPFD_CLOEXEC. F_SETOWN would send signals to others."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The numbers that differ between processors."""

    audit: int
    always: tuple[int, ...]
    clone: int
    clone3: int
    fcntl: int
    tgkill: int
    read_paths: tuple[int, ...]
    """Calls that a library needs to read a folder: Landlock decides which folder."""
    openat: int


X86_64 = Architecture(
    audit=0xC000003E,
    # read write sendto recvfrom recvmsg poll ppoll select pselect6 | lseek pread64 readv preadv writev fadvise64 close
    always=(
        *(0, 1, 44, 45, 47, 7, 271, 23, 270, 8, 17, 19, 295, 20, 221, 3),
        # fstat newfstatat statx | mmap mprotect munmap brk mremap madvise | rt_sigaction _sigprocmask _sigreturn sigaltstack
        *(5, 262, 332, 9, 10, 11, 12, 25, 28, 13, 14, 15, 131),
        # futex set_robust_list rseq sched_yield sched_getaffinity membarrier restart_syscall
        *(202, 273, 334, 24, 204, 324, 219),
        # clock_gettime clock_getres gettimeofday time nanosleep clock_nanosleep getrandom
        *(228, 229, 96, 201, 35, 230, 318),
        # getpid gettid getppid getuid geteuid getgid getegid getrusage uname sysinfo exit exit_group
        *(39, 186, 110, 102, 107, 104, 108, 98, 63, 99, 60, 231),
    ),
    clone=56,
    clone3=435,
    fcntl=72,
    tgkill=234,
    # stat lstat access faccessat faccessat2 readlink readlinkat getdents64 getcwd statfs fstatfs flock dup ioctl
    read_paths=(4, 6, 21, 269, 439, 89, 267, 217, 79, 137, 138, 73, 32, 16),
    openat=257,
)
AARCH64 = Architecture(
    audit=0xC00000B7,
    always=(
        *(63, 64, 206, 207, 212, 73, 72, 62, 67, 65, 69, 66, 223, 57),
        *(80, 79, 291, 222, 226, 215, 214, 216, 233, 134, 135, 139, 132),
        *(98, 99, 293, 124, 123, 283, 128),
        *(113, 114, 169, 101, 115, 278),
        *(172, 178, 173, 174, 175, 176, 177, 165, 160, 179, 93, 94),
    ),
    clone=220,
    clone3=435,
    fcntl=25,
    tgkill=131,
    read_paths=(48, 439, 78, 61, 17, 43, 44, 32, 23, 29),
    openat=56,
)
KNOWN = {"x86_64": X86_64, "aarch64": AARCH64}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def available() -> bool:
    """Whether this kernel takes filters, and the numbers of this processor's system calls are known here."""
    return platform.machine() in KNOWN and ctypes.CDLL(None, use_errno=True).prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def restrict(*, may_read_paths: bool) -> bool:
    """Filter the system calls of this thread. False if that is not available. The process must have set no_new_privs.

    may_read_paths: allow opening for reading too; Landlock must then say where. Raises OSError.
    """
    if not available():
        return False
    code = _program(KNOWN[platform.machine()], may_read_paths)
    program = _Program(length=len(code) // 8, code=ctypes.cast(ctypes.c_char_p(code), ctypes.c_void_p))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0):
        found = ctypes.get_errno()
        raise OSError(found, f"seccomp: {os.strerror(found)}")
    return True


def _program(machine: Architecture, may_read_paths: bool) -> bytes:
    """The filter as instructions of 8 bytes. Jumps count the instructions they pass over."""
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    for number in (*machine.always, *(machine.read_paths if may_read_paths else ())):
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    steps += [(EQUAL, 0, 1, machine.clone3), (RETURN, 0, 0, REFUSE | ENOSYS)]
    steps += _where(machine.clone, 0, [(ANY_BIT, 0, 1, CLONE_THREAD)])
    steps += _where(machine.tgkill, 0, [(EQUAL, 0, 1, os.getpid())])
    for command in FCNTL_COMMANDS:
        steps += _where(machine.fcntl, 1, [(EQUAL, 0, 1, command)])
    if may_read_paths:
        steps += [(EQUAL, 0, 4, machine.openat), (LOAD, 0, 0, ARGUMENTS + 16), (ANY_BIT, 1, 0, WRITING)]
        steps += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE | EPERM)]
    steps += [(RETURN, 0, 0, REFUSE | EPERM)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _where(number: int, argument: int, test: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Allow a call if `test` of its argument's low word holds; otherwise go on, with the number loaded again."""
    yield (EQUAL, 0, 4, number)
    yield (LOAD, 0, 0, ARGUMENTS + 8 * argument)
    yield from test
    yield (RETURN, 0, 0, ALLOW)
    yield (LOAD, 0, 0, NUMBER)
