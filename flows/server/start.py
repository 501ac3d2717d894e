"""Starts the process of a Prefect server, and ends it.

Guarantee: the server listens before it starts, so a port that is taken is found at once; its password is new; what it writes is
readable by its owner alone; it ends with the block, or with this process if that is killed.
Cost: 3 seconds until it answers, 8 where its database is new. The caller may work meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Literal

import httpx
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    PREFECT_SERVER_API_BASE_PATH,
    PREFECT_SERVER_CORS_ALLOWED_ORIGINS,
    get_current_settings,
)

from tokenmill.flows.cli.environment import variables
from tokenmill.flows.server import database
from tokenmill.flows.server.secret import password
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.words import address

WAIT_SECONDS = 120
SAY_SECONDS = 10
"""After so long, the user is told what is being waited for."""
END_SECONDS = 10

KEPT_DAYS = 30
"""How long Prefect's database keeps ended runs, with their logs."""

DEFAULTS = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(KEPT_DAYS * 86_400),
}
"""Settings of our servers, where the user has none."""

FORCED = {
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


def answers(url: str, timeout: float = 10) -> bool:
    """Whether a server answers for the API at `url` within `timeout` seconds."""
    try:
        return httpx.get(f"{url}/health", timeout=timeout).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def require_answer(url: str) -> None:
    """Raise TokenmillError unless the server that is configured answers. Prefect's client would wait for it for minutes."""
    if not answers(url):
        raise TokenmillError(f"Prefect's server at {address(url)} does not answer; start it, or unset PREFECT_API_URL")


def failure(url: str, error: Exception) -> str:
    """What is said when Prefect's client failed at the server at `url`. Its own words may hold a password, in the URL."""
    if isinstance(error, httpx.HTTPStatusError):
        code = error.response.status_code
        hint = "; set PREFECT_API_AUTH_STRING or PREFECT_API_KEY" if code in (401, 403) else ""
        return f"Prefect's server at {address(url)} answers {code} to {error.request.url.path}{hint}"
    if isinstance(error, httpx.HTTPError):
        return f"Prefect's server at {address(url)} does not answer ({type(error).__name__})"
    return f"Prefect's server at {address(url)} cannot be used: {str(error).partition(chr(10))[0]}"


def base_path() -> str:
    """The path of the API, without a slash at its end: Prefect takes "/mill/" for the same, and what is compared does not."""
    return (PREFECT_SERVER_API_BASE_PATH.value() or "/api").rstrip("/")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server whose process runs. Only `started` makes one."""

    url: str
    """Of the API."""
    page: str
    """The address that people open."""
    password: str = field(repr=False)
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    """What the process says."""

    def client(self) -> dict[Any, Any]:
        """The settings with which Prefect's clients in this process, and in those that it starts, reach this server."""
        return {PREFECT_API_URL: self.url, PREFECT_API_AUTH_STRING: self.password}

    def runs(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def await_answer(self, say: Callable[[str], None]) -> None:
        """Wait until the server answers. `say` prints a line if that takes long. Raises TokenmillError."""
        began = time.monotonic()
        told = False
        while (waited := time.monotonic() - began) < WAIT_SECONDS:
            # The socket listens since before the process began: the system keeps the request until it is ready.
            if answers(self.url, timeout=SAY_SECONDS / 2):
                return
            if not self.runs():
                break
            if waited > SAY_SECONDS and not told:
                say(f"waiting for Prefect's server ({self.where()})")
                told = True
            time.sleep(0.1)
        raise TokenmillError(f"Prefect's server did not start ({self.where()}){self._last_words()}")

    def where(self) -> str:
        """Its port and its database, for messages."""
        file = database.path()
        return f"port {self.url.rpartition(':')[2].partition('/')[0]}" + (f", database {file}" if file else "")

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = [line for line in self.errors.read().decode(errors="replace").splitlines() if line.strip()]
        return f": {lines[-1].strip()}" if lines else ""


@contextlib.contextmanager
def started(kind: Literal["embedded", "full"], host: str, port: int) -> Iterator[Server]:
    """Start a server for the time of the block. Port 0 means a free one. Raises TokenmillError."""
    database.require_usable()
    with _listening(host, port) as listener, tempfile.TemporaryFile() as errors:
        port = listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        page = f"http://{name}:{port}"
        configured = PREFECT_SERVER_API_AUTH_STRING.value()
        secret = str(configured) if configured else password()
        process = subprocess.Popen(
            [sys.executable, "-m", "tokenmill.flows.server.main", str(listener.fileno()), kind],
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            env=_environment(host, port, secret),
            pass_fds=[listener.fileno()],
            # Ctrl-C at the terminal is for this process, which ends its children before the server.
            start_new_session=True,
            umask=0o077,
        )
        # From now on only the server listens, so that nobody waits for it when it has died.
        listener.close()
        try:
            yield Server(url=f"{page}{base_path()}", page=page, password=secret, process=process, errors=errors)
        finally:
            _end(process)


def _environment(host: str, port: int, secret: str) -> Mapping[str, str]:
    configured = get_current_settings().to_environment_variables(exclude_unset=True)
    own = [f"http://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    allowed = PREFECT_SERVER_CORS_ALLOWED_ORIGINS.value()
    return variables(
        {
            **DEFAULTS,
            # The page finds its API where it was loaded from, also through a tunnel.
            "PREFECT_SERVER_UI_API_URL": base_path(),
            **configured,
            **FORCED,
            "PREFECT_SERVER_API_AUTH_STRING": secret,
            "PREFECT_SERVER_API_HOST": host,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(own) if allowed == "*" else allowed,
        }
    )


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise TokenmillError(f"no server can listen at {host}:{port}: {error.strerror}") from error
            raise TokenmillError(
                f"port {port} of {host} is taken by another program; set PREFECT_SERVER_API_PORT to another port, or, if a "
                f"Prefect server of yours runs there, PREFECT_API_URL=http://{host}:{port}/api"
            ) from error
        listener.listen(2048)
        yield listener


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
