"""A build on a Prefect server that is configured and cannot be used: it goes on without it, after one line."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prefect.exceptions import CancelledRun, ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_API_BASE_PATH, temporary_settings

from tokenmill.flows.server import embedded, start
from tokenmill.pipeline.base.errors import TokenmillError


@contextmanager
def server(code: int) -> Iterator[str]:
    """Something that answers to the question for health, and `code` to all others."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else code)
            body = b'"3.0.0"' if code == 200 else b"{}"
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://somebody:SECRET@127.0.0.1:{made.server_address[1]}/api"
        made.shutdown()


def built(url: str, error: Exception | None = None) -> tuple[list[str], list[str]]:
    """What ran, and what was said, with the server at `url` and a flow that raises `error`."""
    ran: list[str] = []
    said: list[str] = []

    def flow() -> None:
        ran.append("flow")
        if error is not None:
            raise error

    with temporary_settings({PREFECT_API_URL: url}):
        embedded.build(flow, lambda: ran.append("plain"), meanwhile=lambda: None, say=said.append)
    return ran, said


@pytest.mark.parametrize(("code", "says"), [(401, "answers 401"), (403, "cannot be used"), (404, "cannot be used")])
def test_a_server_that_refuses_costs_one_line(code: int, says: str) -> None:
    with server(code) as url:
        ran, (line,) = built(url)
    assert ran == ["plain"]
    assert says in line
    assert line.endswith("the build goes on without Prefect")
    assert "SECRET" not in line


@pytest.mark.parametrize("url", ["http://somebody:SECRET@127.0.0.1:1/api", "nowhere"])
def test_a_server_that_does_not_answer_costs_one_line(url: str) -> None:
    ran, (line,) = built(url)
    assert (ran, "does not answer" in line, "SECRET" in line) == (["plain"], True, False)


def test_a_flow_that_prefect_refuses_is_built_without_and_one_that_is_cancelled_is_not() -> None:
    with server(200) as url:
        assert built(url) == (["flow"], [])
        ran, _ = built(url, ObjectNotFound(LookupError("no flow run")))
        assert ran == ["flow", "plain"]
        with pytest.raises(TokenmillError, match="cancelled in Prefect"):
            built(url, CancelledRun("cancelled"))
        with pytest.raises(RuntimeError, match="of the build"):
            built(url, RuntimeError("of the build"))


@pytest.mark.parametrize(("given", "path"), [(None, "/api"), ("/mill/", "/mill"), ("/mill", "/mill"), ("/", "")])
def test_the_path_of_the_api_has_no_slash_at_its_end(given: str | None, path: str) -> None:
    with temporary_settings({PREFECT_SERVER_API_BASE_PATH: given}):
        assert start.base_path() == path
