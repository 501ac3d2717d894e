"""The worker's side: starts parsers, passes them descriptors, and watches them.

Guarantee: a parser that dies, overruns its deadline, is stopped, falls silent or sends what no parser sends is killed, and
`ParserFailed` says which of these it was. The worker never waits for a parser without looking at its clock. Each thread has its
own parser; a process that was forked from a worker starts its own.
Cost: one parser process per worker, kept from file to file, and the template that it is forked from.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from tokenmill.pipeline.base.errors import InputError, TokenmillError
from tokenmill.pipeline.collect.parser import frames, start
from tokenmill.pipeline.collect.parser.frames import BadFrame, ParserFailed
from tokenmill.pipeline.collect.readers import Needs

ENTRY = "tokenmill.pipeline.collect.parser.serve:serve"
"""What runs in a parser. Tests put hostile stubs in its place."""
MEMORY_BYTES = 512 << 20
"""Address space that a parser may take for its work, beyond what a record may have."""
WORN_BYTES = 256 << 20
"""A parser that holds more than this after a file is replaced."""
RECORD_SECONDS = 10.0
"""CPU seconds that a parser may take without showing a record or having read on."""
SILENT_SECONDS = 10.0
"""Seconds that a parser may sleep while its worker waits for it."""
START_SECONDS = 180.0
"""Where machine code of kernels cannot be kept, each process that starts parsers compiles them."""
WATCH_SECONDS = 0.25
BUFFER_BYTES = 1 << 20
MOST_WAITS = 8
"""Looks at a parser that is stopped, before it is replaced: a terminal stops a worker and its parser together."""


@dataclass(frozen=True, kw_only=True)
class Needed:
    """What a parser is started with. One that was started with the same is used again."""

    libraries: Needs
    memory_bytes: int
    entry: str


class _Thread(threading.local):
    parser: Parser | None = None


_thread = _Thread()


class Parser:
    """One parser process. Raises ParserFailed if it cannot be started."""

    def __init__(self, needed: Needed) -> None:
        self.needed = needed
        self._connection, theirs = socket.socketpair()
        self._life, template = socket.socketpair()
        with theirs, template:
            message = {"entry": needed.entry, "needs": needed.libraries, "memory_bytes": needed.memory_bytes}
            start.fork(json.dumps(message).encode(), [theirs.fileno(), template.fileno()])
        self._connection.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._connection, select.POLLIN)
        self._buffer = bytearray(BUFFER_BYTES)
        self.pid = 0
        self._progress_cpu = 0.0
        self.pid = self._hello()
        self.made_progress()

    def _hello(self) -> int:
        if not self._poll.poll(START_SECONDS * 1_000):
            start.stop()
            raise self.failed("parser_died", "does not start")
        kind, head, _ = self.receive(0)
        if kind != frames.HELLO:
            raise self.failed("parser_died", "sent a wrong greeting")
        return int(frames.value_of(head))

    def ask(self, request: dict[str, Any], descriptor: int) -> None:
        """Send a request with the descriptor of the file that it is about."""
        data = json.dumps(request).encode()
        self._connection.setblocking(True)
        try:
            head = len(data).to_bytes(8, "little")
            self._connection.sendmsg([head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])
            self._connection.sendall(data)
        except OSError as error:
            raise self.failed("parser_died", self._status()) from error
        finally:
            self._connection.setblocking(False)
        self.made_progress()

    def receive(self, most_bytes: int) -> tuple[bytes, bytes, memoryview]:
        """The next frame: its kind, its JSON, and its other bytes, at most `most_bytes`, which hold until the next call.

        Raises ParserFailed.
        """
        self._check_deadline()
        kind, head_bytes, blob_bytes = frames.HEADER.unpack(self._exactly(frames.HEADER.size))
        if head_bytes > frames.MOST_JSON_BYTES or blob_bytes > most_bytes:
            raise self.failed("parser_died", "sent a frame that is too long")
        return kind, bytes(self._exactly(head_bytes)), self._exactly(blob_bytes)

    def _exactly(self, size: int) -> memoryview:
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        view = memoryview(self._buffer)[:size]
        got = 0
        while got < size:
            try:
                part = self._connection.recv_into(view[got:])
            except BlockingIOError:
                self._wait()
                continue
            except OSError as error:
                raise self.failed("parser_died", self._status()) from error
            if not part:
                raise self.failed("parser_died", self._status())
            got += part
        return view

    def _wait(self) -> None:
        """Wait until the parser sends something. Raises ParserFailed if nothing can be expected any more."""
        asleep = stopped = 0.0
        before = self._cpu()
        while not self._poll.poll(WATCH_SECONDS * 1_000):
            now = self._check_deadline()
            state = self._state()
            stopped = stopped + 1 if state in "Tt" else 0
            asleep = asleep + WATCH_SECONDS if state == "S" and now - before < WATCH_SECONDS / 100 else 0.0
            if stopped >= MOST_WAITS:
                raise self.failed("parser_died", "was stopped by a signal")
            if asleep >= SILENT_SECONDS:
                raise self.failed("parser_died", f"was silent for {SILENT_SECONDS:.0f} s")
            before = now

    def _check_deadline(self) -> float:
        """The CPU seconds of the parser so far. Raises ParserFailed (deadline)."""
        now = self._cpu()
        if now - self._progress_cpu > RECORD_SECONDS:
            raise self.failed("deadline", f"took {RECORD_SECONDS:.0f} s of CPU for one record")
        return now

    def made_progress(self) -> float:
        """Start the clock of the deadline anew. Returns the CPU seconds since it was started before."""
        now = self._cpu()
        took, self._progress_cpu = now - self._progress_cpu, now
        return took

    def _cpu(self) -> float:
        """CPU seconds that the parser has used, all threads together."""
        if not self.pid:
            return 0.0
        try:
            # The clock of another process, as clock_getcpuclockid(3) makes it.
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return self._progress_cpu

    def _state(self) -> str:
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/stat", "rb") as handle:
            return handle.read().rpartition(b")")[2].split()[0].decode()
        return "?"

    @property
    def worn(self) -> bool:
        """Whether the parser has grown so much that a fresh one is better."""
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/statm", "rb") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") > WORN_BYTES
        return True

    def failed(self, reason: str, message: str) -> ParserFailed:
        """End the parser; the error says why."""
        cpu_seconds = self._cpu() - self._progress_cpu
        self.end()
        return ParserFailed(reason, f"the parser {message}", cpu_seconds)

    def _status(self) -> str:
        """How the parser ended, as the template tells it."""
        try:
            self._life.settimeout(2.0)
            status = int(self._life.recv(16) or b"0")
        except (OSError, ValueError):
            status = 0
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"

    def end(self) -> None:
        """End the parser. The template kills it when the life line closes."""
        self._connection.close()
        self._life.close()


def parser(needed: Needed, *, fresh: bool = False) -> Parser:
    """The parser of this thread, a new one if there is none, if it is worn or was started for other work, or if `fresh`."""
    held = _thread.parser
    if held is not None and (fresh or held.needed != needed or held.worn):
        release()
        held = None
    if held is None:
        held = _thread.parser = Parser(needed)
    return held


def release() -> None:
    """End the parser of this thread."""
    if _thread.parser is not None:
        _thread.parser.end()
        _thread.parser = None


def close() -> None:
    """End the parser of this thread and the template of this process."""
    release()
    start.stop()


atexit.register(close)
# In a process that was forked from a worker: the parser is the parent's.
os.register_at_fork(after_in_child=release)


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A frame of a parser's answer, and the CPU seconds that the parser took since the one before."""

    kind: bytes
    head: bytes
    blob: memoryview
    cpu_seconds: float


def answers(needed: Needed, request: dict[str, Any], descriptor: int, *, most_bytes: int) -> Generator[Received, None, None]:
    """Ask the parser of this thread; the frames of its answer. A caller that stops early ends the parser.

    A beat counts as progress if the file was read further than before. Raises ParserFailed, and InputError from a reader.
    """
    held = parser(needed, fresh=request["alone"])
    done = False
    offset = -1
    try:
        held.ask(request, descriptor)
        while True:
            kind, head, blob = held.receive(most_bytes)
            if kind == frames.FAULT:
                raise _fault(held, head)
            if kind == frames.END:
                done = True
                return
            took = 0.0
            if kind == frames.BEAT:
                offset, before = frames.value_of(head), offset
                if type(offset) is not int or offset <= before:
                    raise BadFrame("a beat without progress")
            if kind in (frames.BEAT, frames.RECORDS):
                took = held.made_progress()
            yield Received(kind=kind, head=head, blob=blob, cpu_seconds=took)
    finally:
        if not done:
            release()


def _fault(held: Parser, head: bytes) -> TokenmillError:
    """What a parser says about its end: an error of ours, which ends the build, or one that only ends the parser."""
    match frames.value_of(head):
        case [str(message), True]:
            return InputError(message)
        case [str(message), False]:
            return held.failed("parser_died", f"ended by {message}")
        case _:
            return held.failed("parser_died", "sent a malformed fault")
