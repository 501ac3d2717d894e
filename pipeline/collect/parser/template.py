"""The process that parsers are forked from: it has imported the readers, and has one thread, no file and no secret.

Purpose: a fresh parser costs 5 ms, not the imports again; and a process with one thread can be confined whole.
Guarantee: a parser ends when its worker does, however that ends: the template sees the end of the worker's socket and kills it,
and a parser ends with the template. Of the environment only the search path of modules is taken over.
Cost: started once per worker; 0.05 s of CPU, 0.2 s with the libraries of tables.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from tokenmill.pipeline.collect import readers
from tokenmill.pipeline.collect.parser import confine

MOST_MESSAGE_BYTES = 1 << 16


def main(descriptor: int) -> None:
    """Fork a parser for every message, until all who could send one are gone.

    A message is JSON, with two sockets: one for the parser's frames; the other tells the end of a worker to the template, and
    the end of a parser, with its status, to the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=descriptor)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    wake, wakes = socket.socketpair()
    wake.setblocking(False)
    wakes.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    poll.register(wake, select.POLLIN)
    lives: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for ready, _ in poll.poll():
            if ready == wake.fileno():
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4_096)
                _bury(lives, poll)
            elif ready == control.fileno():
                message, ancillary, _, _ = control.recvmsg(MOST_MESSAGE_BYTES, socket.CMSG_SPACE(8), socket.MSG_CMSG_CLOEXEC)
                if not message:
                    for child, _ in lives.values():
                        os.kill(child, signal.SIGKILL)
                        os.waitpid(child, 0)
                    return
                sockets = array.array("i")
                for _, _, data in ancillary:
                    sockets.frombytes(data)
                life = socket.socket(fileno=sockets[1])
                others = [control, wake, wakes, life, *(kept for _, kept in lives.values())]
                child = _fork(json.loads(message), sockets[0], others)
                os.close(sockets[0])
                lives[life.fileno()] = (child, life)
                poll.register(life, select.POLLIN)
            elif ready in lives:
                # The worker is gone, or has no more use for this parser.
                os.kill(lives[ready][0], signal.SIGKILL)
                poll.unregister(ready)


def _bury(lives: dict[int, tuple[int, socket.socket]], poll: select.poll) -> None:
    """Collect the parsers that ended, and tell their workers how."""
    for key, (child, life) in list(lives.items()):
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            continue
        with contextlib.suppress(KeyError):
            poll.unregister(key)
        with contextlib.suppress(OSError):
            life.send(str(os.waitstatus_to_exitcode(status)).encode())
        life.close()
        del lives[key]


def _fork(message: dict[str, Any], descriptor: int, others: list[socket.socket]) -> int:
    readers.prepare(message["needs"])
    run = _resolve(message["entry"])
    parent = os.getpid()
    gc.freeze()
    child = os.fork()
    if child:
        return child
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for one in others:
        one.close()
    connection = socket.socket(fileno=descriptor)
    # From here on an import must not fail as a file that cannot be opened, which readers take for a fault of their input.
    sys.meta_path.clear()
    confine.confine(parent=parent, memory_bytes=message["memory_bytes"])
    run(connection)
    os._exit(0)


def _resolve(entry: str) -> Callable[[socket.socket], None]:
    module, _, name = entry.partition(":")
    found: Callable[[socket.socket], None] = getattr(importlib.import_module(module), name)
    return found
