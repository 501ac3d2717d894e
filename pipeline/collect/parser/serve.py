"""What a parser runs: it takes requests, reads a descriptor with one of the readers, and sends frames.

Guarantee: records go out in batches of `BATCH_BYTES`, at least every `BATCH_SECONDS`; while a file is read without records, a
beat says how far. In a request marked `alone`, each place is announced before it is parsed and each record is sent at once, so
that a death is the announced record's.
Cost: one copy of each text, and one system call a batch.
"""

from __future__ import annotations

import array
import io
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, cast

from tokenmill.pipeline.base.errors import InputError
from tokenmill.pipeline.collect import readers
from tokenmill.pipeline.collect.html.extraction import Extraction
from tokenmill.pipeline.collect.parser import frames
from tokenmill.pipeline.collect.records import ZSTD_WINDOW, Document, Limits, PlainLines, Record, Rejected

BATCH_BYTES = 1 << 20
BATCH_RECORDS = 2_048
BATCH_SECONDS = 0.25
RECORD_OVERHEAD_BYTES = 200
BEAT_SECONDS = 0.5


@dataclass(kw_only=True)
class Sender:
    """Sends records and what else the worker should know, in batches."""

    connection: socket.socket
    alone: bool = False
    _held: list[Record] = field(default_factory=list)
    _held_bytes: int = 0
    _sent_at: float = 0.0

    def add(self, record: Record) -> None:
        """Send a record, sooner or later."""
        self._held.append(record)
        if isinstance(record, Document):
            self._held_bytes += len(record.text) + len(record.scores)
        elif isinstance(record, Rejected):
            self._held_bytes += len(record.preview)
        elif isinstance(record, PlainLines):
            self._held_bytes += len(record.data)
        self._held_bytes += RECORD_OVERHEAD_BYTES
        full = self._held_bytes >= BATCH_BYTES or len(self._held) >= BATCH_RECORDS
        if full or self.alone or time.monotonic() - self._sent_at > BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Send all records that are held."""
        if self._held:
            held, self._held, self._held_bytes = self._held, [], 0
            self.send(frames.encode(held))

    def beat(self, offset: int) -> None:
        """Say how far the file is read, if nothing was sent for a while."""
        if time.monotonic() - self._sent_at > BEAT_SECONDS:
            self.flush()
            self.send(frames.frame(frames.BEAT, offset))

    def announce(self, place: str) -> None:
        """Say what is parsed next."""
        self.send(frames.frame(frames.PLACE, place))

    def send(self, data: bytes) -> None:
        """Send a frame."""
        self.connection.sendall(data)
        self._sent_at = time.monotonic()


class Watched(io.FileIO):
    """A file that reports how far it was read. Bytes that are read again are no progress."""

    def __init__(self, descriptor: int, sender: Sender) -> None:
        super().__init__(descriptor, "rb", closefd=True)
        self._sender = sender
        self._furthest = 0

    def readinto(self, buffer: Any, /) -> int | None:
        size = super().readinto(buffer)
        if (at := self.tell()) > self._furthest:
            self._furthest = at
            self._sender.beat(at)
        return size


def serve(connection: socket.socket) -> None:
    """Answer requests until the worker hangs up. An error that is not of ours ends the process, which says where it was."""
    sys.excepthook = _Epitaph(connection)
    connection.sendall(frames.frame(frames.HELLO, os.getpid()))
    while (request := receive(connection)) is not None:
        plain, descriptor = request
        answer(connection, plain, descriptor)


def receive(connection: socket.socket) -> tuple[dict[str, Any], int] | None:
    """The next request with its descriptor; None at the end."""
    head, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    if len(head) < 8:
        return None
    left = int.from_bytes(head, "little")
    parts = []
    while left and (part := connection.recv(min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data)
    return json.loads(b"".join(parts)), descriptors[0]


def answer(connection: socket.socket, request: dict[str, Any], descriptor: int) -> None:
    """Read the file as the request says, and send what it holds."""
    sender = Sender(connection=connection, alone=request["alone"])
    announce = sender.announce if sender.alone else None
    limits = Limits(
        document_bytes=request["document_bytes"],
        condemned=request["condemned"],
        announce=announce,
        zstd_window=request["source"].get("zstd_window", ZSTD_WINDOW),
        extraction=Extraction.of(request["source"]),
    )
    with cast(io.BufferedReader, io.BufferedReader(Watched(descriptor, sender), 1 << 16)) as handle:
        try:
            if request["ask"] == "row_groups":
                sender.send(frames.frame(frames.VALUE, readers.row_groups(handle, request["source"]["text_field"])))
            else:
                for record in _records(handle, request, limits):
                    sender.add(record)
                sender.flush()
        except InputError as error:
            sender.flush()
            sender.send(frames.frame(frames.FAULT, [str(error), True]))
            return
        except OSError as error:
            # The descriptor cannot be read: the disk fails, or the file is no file.
            sender.flush()
            message = f"{request['name']}: cannot be read ({error.strerror}); make it readable, or leave it out"
            sender.send(frames.frame(frames.FAULT, [message, True]))
            return
    sender.send(frames.frame(frames.END))


def _records(handle: io.BufferedReader, request: dict[str, Any], limits: Limits) -> Iterator[Record]:
    source = readers.source_of(request["source"])
    begin, end, before = request["piece"]
    return readers.read(handle, request["kind"], request["codec"], request["name"], begin, end, before, source, limits)


class _Epitaph:
    """The last words of a parser: the type of the error and where it arose, without its message, which may hold text."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" in {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace is not None else ""
        self._connection.sendall(frames.frame(frames.FAULT, [f"{kind.__name__}{where}", False]))
