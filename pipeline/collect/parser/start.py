"""Starts the template, the process that the parsers of this process are forked from: see `template`.

Guarantee: the template is started when a parser is first asked for, and again when it is gone. It gets nothing of the
environment but the settings below. A process that was forked from this one may ask the same template.
Cost: see `template`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field

from tokenmill.pipeline.collect.parser.frames import ParserFailed

STOP_SECONDS = 1.0
BOOT = "import sys; sys.path[:] = {path!r}; from tokenmill.pipeline.collect.parser import template; template.main({descriptor})"
SETTINGS = {
    # With one thread in the template, a fork copies all there is. Of Arrow's allocators, mimalloc reserves 1 GB of addresses in
    # advance, and the system's maps and clears a megabyte for every page of a column: 0.5 ms a page, where this takes 2 us.
    "ARROW_DEFAULT_MEMORY_POOL": "jemalloc",
    "JE_ARROW_MALLOC_CONF": "background_thread:false,narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


@dataclass(kw_only=True)
class _Template:
    process: subprocess.Popen[bytes]
    control: socket.socket
    owner: int


@dataclass
class _Held:
    """What this process holds."""

    template: _Template | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_process = _Held()


def _started() -> _Template:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        boot = BOOT.format(path=sys.path, descriptor=theirs.fileno())
        process = subprocess.Popen(
            [sys.executable, "-c", boot],
            env=SETTINGS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
    return _Template(process=process, control=ours, owner=os.getpid())


def begin() -> None:
    """Start the template before a parser is asked for, so that all processes that are forked from this one share it."""
    with _process.lock:
        if _process.template is None:
            _process.template = _started()


def fork(message: bytes, sockets: list[int]) -> None:
    """Have a parser forked: see `template.main`. A template that is gone is started again. Raises ParserFailed."""
    with _process.lock:
        for _ in range(2):
            if _process.template is None:
                _process.template = _started()
            try:
                socket.send_fds(_process.template.control, [message], sockets)
                return
            except OSError:
                _stop()
    raise ParserFailed("parser_died", "the process that starts parsers does not answer")


def stop() -> None:
    """End the template of this process, and all its parsers."""
    with _process.lock:
        _stop()


def _stop() -> None:
    template, _process.template = _process.template, None
    if template is None:
        return
    template.control.close()
    if template.owner == os.getpid():
        try:
            template.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            template.process.kill()
            template.process.wait()
    else:
        # Inherited by a fork: it is the parent's child, and a `Popen` that is dropped warns of a process that still runs.
        template.process.returncode = 0


def _after_fork() -> None:
    """In a process that was forked from this one: another thread may have held the lock."""
    _process.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
