"""Messages arrive where they should, and nowhere else: over HTTP and SMTP on the loopback."""

from __future__ import annotations

import http.server
import json
import logging
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tokenmill.flows.notify import Event, Notify, tell
from tokenmill.pipeline.base.errors import ConfigError, TokenmillError


class Received(list[tuple[str, Any]]):
    """What arrived, as path and content; and where the server listens."""

    host = ""


@pytest.fixture
def web() -> Iterator[Received]:
    found = Received()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            codes = {"/moved": 307, "/broken": 500}
            self.send_response(codes.get(self.path.partition("?")[0], 200))
            self.send_header("Location", "/other")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    yield from serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler), found)


@pytest.fixture
def mail() -> Iterator[Received]:
    found = Received()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 ready\r\n")
            text: list[bytes] | None = None
            for line in self.rfile:
                if text is not None and line != b".\r\n":
                    text.append(line)
                    continue
                if text is not None:
                    found.append(("", b"".join(text).decode()))
                text = [] if line == b"DATA\r\n" or line == b"data\r\n" else None
                self.wfile.write(b"354 go on\r\n" if text is not None else b"250 yes\r\n")
                if line.upper().startswith(b"QUIT"):
                    return

    yield from serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler), found)


def serving(server: socketserver.BaseServer, found: Received) -> Iterator[Received]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.host = "{}:{}".format(*server.server_address[:2])
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def at(address: str, monkeypatch: pytest.MonkeyPatch) -> Notify:
    monkeypatch.setenv("TOKENMILL_TEST_ADDRESS", address)
    return Notify(env="TOKENMILL_TEST_ADDRESS")


@pytest.mark.parametrize(
    ("event", "kind"), [("failure", "failure"), ("crash", "failure"), ("alarm", "warning"), ("success", "success")]
)
def test_a_webhook_gets_title_and_message(web: Received, event: Event, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    notify = at(f"http://{web.host}/hook/T0?token=s%20x&q=", monkeypatch)
    notify.check()
    tell(notify, "nightly & co", "line <b>\nline ü", event)
    ((path, sent),) = web
    assert path == "/hook/T0?token=s+x&q="
    assert (sent["title"], sent["message"], sent["type"]) == ("nightly & co", "line <b>\nline ü", kind)


def test_an_e_mail_is_sent(mail: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    notify = at(f"mailto://{mail.host}/?from=mill@example.org&to=me@example.org", monkeypatch)
    tell(notify, "nightly: the build failed", "out of room", "failure")
    ((_, text),) = mail
    assert "Subject: nightly: the build failed" in text
    assert "To: me@example.org" in text
    assert "out of room" in text


def test_every_address_of_a_file_gets_the_message_though_one_fails(web: Received, tmp_path: Path) -> None:
    (tmp_path / "addresses").write_text(f"# both\nhttp://{web.host}/broken\n\n  http://{web.host}/b\n")
    with pytest.raises(TokenmillError, match=r"address 1 in the file .*addresses did not take the message"):
        tell(Notify(file="addresses").beside(tmp_path), "t", "m", "alarm")
    assert [path for path, _ in web] == ["/broken", "/b"]


def test_a_redirect_is_not_followed(web: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TokenmillError, match="did not take the message"):
        tell(at(f"http://{web.host}/moved", monkeypatch), "t", "m", "alarm")
    assert [path for path, _ in web] == ["/moved"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/SECRET", "nothing that SECRET knows", "slack://SECRET"])
def test_no_message_and_no_log_repeats_the_address(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    notify = at(address, monkeypatch)
    with caplog.at_level(logging.DEBUG), pytest.raises(TokenmillError) as error:
        notify.check()
        tell(notify, "t", "m", "alarm")
    assert "SECRET" not in str(error.value) + caplog.text + "".join(capfd.readouterr())


def test_what_is_no_address_is_refused_before_any_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="address 1 in the environment variable .* is none that can be used"):
        at("ftp:nothing", monkeypatch).check()
    with pytest.raises(ConfigError, match="holds no address"):
        at("# only a comment", monkeypatch).check()
