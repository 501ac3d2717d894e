"""Starts and stops Prefect servers: an embedded one for a single build, and a full one for schedules.

Guarantee: if a server is already configured (PREFECT_API_URL, a profile), it is used and none is started. A server that this
module starts ends with its `with` block, even if this process is killed.
Cost: 5 to 10 seconds until a server answers.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import httpx
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_SERVER_API_HOST,
    PREFECT_SERVER_API_PORT,
    temporary_settings,
)

from tokenmill.flows.schedules import Schedule
from tokenmill.flows.serving import run_on_time
from tokenmill.pipeline.base.errors import TokenmillError

WAIT_SECONDS = 120


@contextlib.contextmanager
def embedded() -> Iterator[None]:
    """Provide a server for the flows of this block: the configured one, or else a new one. Raises TokenmillError."""
    if PREFECT_API_URL.value():
        yield
        return
    server = SubprocessASGIServer()
    try:
        server.start(timeout=WAIT_SECONDS)
    except RuntimeError as error:
        raise TokenmillError(f"Prefect's embedded server did not start ({error}); --no-prefect builds without it") from error
    if server.server_process is None:
        raise TokenmillError("Prefect's embedded server started without a process; --no-prefect builds without it")
    with _ended_with_us(server.server_process.pid):
        try:
            # Heartbeats cost a second per flow, and nobody watches a server that ends with its only flow.
            with temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                yield
        finally:
            server.stop()


def serve(schedules: Sequence[Schedule], say: Callable[[str], None]) -> None:
    """Run builds at their cron times, until interrupted. `say` prints a line. Raises TokenmillError."""
    with _running_server() as url:
        say(f"Prefect server: {url}")
        run_on_time(schedules, say)


@contextlib.contextmanager
def _running_server() -> Iterator[str]:
    configured = PREFECT_API_URL.value()
    if configured:
        yield configured
        return
    host, port = PREFECT_SERVER_API_HOST.value(), PREFECT_SERVER_API_PORT.value()
    url = f"http://{host}:{port}/api"
    if _healthy(url):
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
        return
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", str(host), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with _ended_with_us(process.pid):
            deadline = time.monotonic() + WAIT_SECONDS
            while not _healthy(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise TokenmillError(f"no Prefect server at {url}; if its port is taken, set PREFECT_SERVER_API_PORT")
                time.sleep(0.2)
            with temporary_settings({PREFECT_API_URL: url}):
                yield url
    finally:
        process.terminate()
        process.wait()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@contextlib.contextmanager
def _ended_with_us(pid: int) -> Iterator[None]:
    """End the process `pid` if this process ends inside the block, even by SIGKILL.

    A small watcher process reads a pipe that only this process holds open. When this process ends, the system closes the pipe
    and the watcher ends `pid`.
    """
    wait = "import os, sys; sys.stdin.read(); os.kill(int(sys.argv[1]), 15)"
    # The watcher has its own session, so that Ctrl-C does not end it before this process and the server.
    watcher = subprocess.Popen([sys.executable, "-c", wait, str(pid)], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.kill()
        watcher.communicate()
