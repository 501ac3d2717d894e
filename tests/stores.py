"""An object store on the loopback for tests: moto's server, and a proxy before it that loses, cuts and refuses answers."""

from __future__ import annotations

import contextlib
import http.client
import logging
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import ClassVar

import pytest

from tokenmill.pipeline.base.address import parse
from tokenmill.pipeline.base.store import Store, client, open_store

_NUMBERS = count()
Fault = Callable[[str, str, int], str | None]
"""What becomes of a request, by its method, its path and its number: "busy" (503), "lost" (done, and not answered), "cut" (half
of the body), "refused" (403), "flip" (one bit of the body is another), or None."""
OF_ONE_HOP = ("transfer-encoding", "connection")
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "not-to-be-told",
    "AWS_REGION": "us-east-1",
    # Nothing listens there: who looks for credentials elsewhere finds none, and never leaves this machine.
    "AWS_METADATA_ENDPOINT": "http://127.0.0.1:9",
}


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """The port of an object store on the loopback."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def bucket(s3_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket, as `s3://test-7`."""
    name = f"test-{next(_NUMBERS)}"
    endpoint = f"http://127.0.0.1:{s3_port}"
    for variable, value in {**VARIABLES, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(variable, value)
    client._opened.cache_clear()
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")):
        return f"s3://{name}"


def at(address: str) -> Store:
    """The store at an address."""
    return open_store(parse(address))


def keys(address: str) -> set[str]:
    """The keys of all objects below an address."""
    return {found.key for found in at(address).listed()}


class _Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fault: ClassVar[Fault]
    port: ClassVar[int]
    numbers: ClassVar[Iterator[int]]
    seen: ClassVar[list[str]]

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()

    def log_message(self, *_: object) -> None: ...

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.fault(self.command, self.path, next(self.numbers))
        self.seen.append(f"{self.command} {self.path}")
        self.close_connection = fault is not None
        if fault == "busy":
            self._answer(503, {}, b"<Error><Code>SlowDown</Code></Error>", None)
            return
        if fault == "refused":
            said = b"<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>AKIA7</AWSAccessKeyId></Error>"
            self._answer(403, {}, said, None)
            return
        there = http.client.HTTPConnection("127.0.0.1", self.port)
        there.request(self.command, self.path, body, dict(self.headers))
        answer = there.getresponse()
        data = answer.read()
        there.close()
        if fault != "lost":
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in OF_ONE_HOP}
            self._answer(answer.status, kept, data, fault)

    def _answer(self, status: int, headers: dict[str, str], data: bytes, fault: str | None) -> None:
        self.send_response_only(status)
        length = headers.pop("Content-Length", str(len(data))) if self.command == "HEAD" else str(len(data))
        headers.pop("content-length", None)
        for name, value in {**headers, "Content-Length": length}.items():
            if name != "Content-Length" or value == length:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            flipped = bytes([data[0] ^ 1]) + data[1:] if fault == "flip" else data
            self.wfile.write(data[: len(data) // 2] if fault == "cut" else flipped)


@contextlib.contextmanager
def faulty(monkeypatch: pytest.MonkeyPatch, port: int, fault: Fault) -> Iterator[list[str]]:
    """Send all requests through a proxy that does what `fault` says. Yields the requests so far."""
    seen: list[str] = []
    methods = {f"do_{method}": _Proxy._pass for method in ("GET", "PUT", "POST", "DELETE", "HEAD")}
    kind = type("Proxy", (_Proxy,), {**methods, "fault": staticmethod(fault), "port": port, "numbers": count(), "seen": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        client._opened.cache_clear()
        try:
            yield seen
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
    client._opened.cache_clear()
