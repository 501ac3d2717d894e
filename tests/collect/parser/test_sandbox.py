"""Hostile stubs in a parser's place: what they can reach, and what becomes of the build."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.folders import described
from tokenmill.pipeline.collect.parser import attempts, confine, host, landlock, seccomp
from tokenmill.pipeline.collect.records import Limits

SOURCE = {"text_field": "text", "id_field": "id", "url_field": "url"}
needs_seccomp = pytest.mark.skipif(not seccomp.available(), reason="this kernel has no seccomp")


@pytest.fixture
def stub(monkeypatch) -> Iterator:
    """Puts a stub in the parser's place."""

    def put(name: str) -> None:
        monkeypatch.setattr(host, "ENTRY", f"tests.collect.parser.stubs:{name}")

    yield put
    host.release()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("words")
    return described(path, "text")


def read(file, source=SOURCE):
    return list(attempts.records(file, (0, file.size_bytes, 0), source, Limits(document_bytes=1_000_000)))


class Server:
    """A server on this machine that counts who connects."""

    def __init__(self) -> None:
        self.hits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.hits += 1

    def close(self) -> None:
        self._socket.close()


@needs_seccomp
def test_a_parser_that_is_taken_over_reaches_nothing(stub, file, tmp_path):
    server = Server()
    private = tmp_path / "private.txt"
    private.write_bytes(b"mine")
    before = sorted(os.listdir(tmp_path))
    stub("escapes")
    tried = {row.position: row.reason for row in read(file, {**SOURCE, "text_field": f"{server.port}:{tmp_path}"})}
    server.close()
    allowed = [name for name, reason in tried.items() if reason != "refused"]
    # Its output goes nowhere.
    assert allowed in ([], ["write to a descriptor"])
    assert len(tried) == 15
    assert server.hits == 0
    assert private.read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == before


def test_memory_of_a_parser_is_limited(stub, file):
    stub("memory")
    [row] = read(file)
    limit = host.MEMORY_BYTES + Limits(document_bytes=1_000_000).record_bytes
    assert row.reason == "refused"
    assert 100 < int(row.message) <= limit >> 20


@pytest.mark.parametrize(
    ("name", "reason", "message"),
    [
        ("spins", "deadline", "of CPU"),
        ("stops", "parser_died", "stopped"),
        ("sleeps", "parser_died", "silent"),
        ("aborts", "parser_died", "signal 6"),
        ("garbage", "parser_died", ""),
        ("too_long", "parser_died", "too long"),
        ("pickled", "parser_died", "malformed"),
        ("other_file", "parser_died", "another file"),
        ("beats", "parser_died", "without progress"),
        ("announces", "parser_died", "places"),
        ("floods", "parser_died", "more than"),
        ("dawdles", "deadline", "too much for the file's size"),
    ],
)
def test_a_parser_that_gives_no_records_costs_the_file_and_no_more(stub, file, monkeypatch, name, reason, message):
    monkeypatch.setattr(host, "RECORD_SECONDS", 0.1)
    monkeypatch.setattr(host, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(host, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(host, "MOST_WAITS", 2)
    monkeypatch.setattr(attempts, "FILE_SECONDS", 1.0)
    stub(name)
    row = read(file)[-1]
    place = "in.txt#rest" if name in ("floods", "dawdles") else "in.txt"
    assert (row.position, row.reason, row.quarantined) == (place, reason, True)
    assert message in row.message


def test_what_the_kernel_lacks_is_said():
    assert (not confine.lacking()) == (seccomp.available() and landlock.abi() > 0)
