"""Hostile stubs: each runs in a parser's place and does what a parser that was taken over would do.

What a stub learns it sends as the message of a rejected record, which is what a parser may send.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator

from tokenmill.pipeline.collect import jsonl
from tokenmill.pipeline.collect.parser import frames, serve
from tokenmill.pipeline.collect.records import Document, Place, Rejected, dropped


def _answering(act: Callable[[socket.socket, dict], Iterator[Rejected]]) -> Callable[[socket.socket], None]:
    def run(connection: socket.socket) -> None:
        connection.sendall(frames.frame(frames.HELLO, os.getpid()))
        while (request := serve.receive(connection)) is not None:
            plain, descriptor = request
            for record in act(connection, plain):
                connection.sendall(frames.encode([record]))
            os.close(descriptor)
            connection.sendall(frames.frame(frames.END))

    return run


def _tried(name: str, attempt: Callable[[], object]) -> Rejected:
    try:
        attempt()
    except (OSError, ValueError) as error:
        return dropped(Place(path=name), "refused", type(error).__name__)
    return dropped(Place(path=name), "allowed", "")


def _write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))


def _connect(port: int) -> None:
    with socket.socket() as client:
        client.connect(("127.0.0.1", port))


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _escapes(_: socket.socket, request: dict) -> Iterator[Rejected]:
    """Everything that is forbidden. The source's `text_field` holds the server's port and a folder."""
    port, folder = request["source"]["text_field"].split(":", 1)
    yield _tried("open", lambda: os.open("/etc/passwd", os.O_RDONLY))
    yield _tried("open beside", lambda: os.open(f"{folder}/private.txt", os.O_RDONLY))
    yield _tried("environment", lambda: os.open("/proc/self/environ", os.O_RDONLY))
    yield _tried("create", lambda: _write(f"{folder}/made.txt"))
    yield _tried("remove", lambda: os.unlink(f"{folder}/private.txt"))
    yield _tried("rename", lambda: os.rename(f"{folder}/private.txt", f"{folder}/other.txt"))
    yield _tried("list", lambda: os.listdir(folder))
    yield _tried("connect", lambda: _connect(int(port)))
    yield _tried("unix socket", lambda: socket.socket(socket.AF_UNIX))
    yield _tried("datagram", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    yield _tried("fork", _fork)
    yield _tried("exec", lambda: os.execv("/bin/true", ["true"]))
    yield _tried("kill", lambda: os.kill(os.getppid(), signal.SIGTERM))
    yield _tried("raise a limit", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, 1_000)))
    yield _tried("write to a descriptor", lambda: os.write(1, b"x" * 10) and None)


def _memory(_: socket.socket, request: dict) -> Iterator[Rejected]:
    held = []
    try:
        while True:
            held.append(bytearray(os.urandom(1 << 10)) * (1 << 14))
    except MemoryError:
        size = sum(map(len, held))
    yield dropped(Place(path="memory"), "refused", str(size >> 20))


def _spins(_: socket.socket, request: dict) -> Iterator[Rejected]:
    while True:
        pass


def _stops(_: socket.socket, request: dict) -> Iterator[Rejected]:
    signal.raise_signal(signal.SIGSTOP)
    yield dropped(Place(path="stop"), "went on", "")


def _sleeps(_: socket.socket, request: dict) -> Iterator[Rejected]:
    while True:
        time.sleep(1)
        yield from ()


def _aborts(_: socket.socket, request: dict) -> Iterator[Rejected]:
    os.abort()


def _garbage(connection: socket.socket, request: dict) -> Iterator[Rejected]:
    connection.sendall(os.urandom(100_000))
    yield from ()


def _too_long(connection: socket.socket, request: dict) -> Iterator[Rejected]:
    connection.sendall(frames.HEADER.pack(frames.RECORDS, 10, 1 << 60))
    yield from ()


def _pickle(connection: socket.socket, request: dict) -> Iterator[Rejected]:
    connection.sendall(frames.HEADER.pack(frames.RECORDS, 40, 0) + b"cos\nsystem\n(S'touch /tmp/x'\ntR.".ljust(40))
    yield from ()


def _other_file(connection: socket.socket, request: dict) -> Iterator[Rejected]:
    forged = Document(identity="other.txt", url=None, text=b"forged", metadata='{"path":"other.txt"}')
    connection.sendall(frames.encode([forged]))
    yield from ()


def _beats(connection: socket.socket, request: dict) -> Iterator[Rejected]:
    while True:
        connection.sendall(frames.frame(frames.BEAT, 1))
        yield from ()


def _announces(connection: socket.socket, request: dict) -> Iterator[Rejected]:
    while True:
        connection.sendall(frames.frame(frames.PLACE, "a"))
        yield from ()


def _floods(connection: socket.socket, request: dict) -> Iterator[Rejected]:
    while True:
        yield dropped(Place(path="in.txt"), "one more", "x" * 100_000)


def _dawdles(_: socket.socket, request: dict) -> Iterator[Rejected]:
    for number in range(1_000_000):
        begun = time.process_time()
        while time.process_time() - begun < 0.05:
            pass
        yield dropped(Place(path="in.txt", record=number), "one more", "")


escapes, memory, spins, stops, sleeps, aborts = map(_answering, (_escapes, _memory, _spins, _stops, _sleeps, _aborts))
garbage, too_long, pickled, other_file = map(_answering, (_garbage, _too_long, _pickle, _other_file))
beats, announces, floods, dawdles = map(_answering, (_beats, _announces, _floods, _dawdles))


def poisoned(connection: socket.socket) -> None:
    """A parser whose reader of JSON dies of the text POISON, spins at SPIN, and dies of ONCE where it is not alone."""
    genuine = jsonl.text_of

    def text_of(row: dict, field: str) -> str:
        text = genuine(row, field)
        if text == "SPIN":
            while True:
                pass
        if text == "POISON" or (text == "ONCE" and not alone):
            os.abort()
        return text

    def receive(connection: socket.socket) -> object:
        nonlocal alone
        found = genuine_receive(connection)
        alone = found is not None and found[0]["alone"]
        return found

    alone = False
    genuine_receive = serve.receive
    jsonl.text_of, serve.receive = text_of, receive
    serve.serve(connection)


def pries(connection: socket.socket) -> None:
    """A parser whose reader of datatrove's opens a file of the machine with each line."""
    from datatrove.pipeline.readers import JsonlReader

    def read_file(_: JsonlReader, __: str) -> Iterator[str]:
        with open("/etc/passwd") as handle:
            yield handle.read()

    JsonlReader.read_file = read_file
    serve.serve(connection)
