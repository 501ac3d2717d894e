"""Prefect servers of our own: an embedded one for a single build, and a real one for schedules.

Guarantee: a server that is already configured (PREFECT_API_URL, a profile) is used and none is started. A server that we
start is ended with the block; one that outlived a killed build is ended at the next start, by its recorded process id
and start time only.
Cost: 5 to 10 seconds until a server answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import httpx
from prefect import serve as serve_deployments
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.schedules import Cron
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_SERVER_API_HOST,
    PREFECT_SERVER_API_PORT,
    temporary_settings,
)
from prefect.types.entrypoint import EntrypointType

from flows.build import build
from flows.schedule import Schedule
from pipeline import files
from pipeline.errors import TokenmillError

HEARTBEAT_SECONDS = 30
WAIT_SECONDS = 120


@contextlib.contextmanager
def embedded() -> Iterator[None]:
    """A server for the flows of this block: the one that is configured, else one of our own."""
    if PREFECT_API_URL.value():
        yield
        return
    _end_leftovers()
    server = SubprocessASGIServer()
    try:
        server.start(timeout=WAIT_SECONDS)
    except RuntimeError as error:
        raise TokenmillError(f"Prefect's embedded server did not start ({error}); --no-prefect does without it") from error
    assert server.server_process is not None
    with _recorded(server.server_process.pid):
        try:
            # Heartbeats cost a second a flow, and nobody watches a server that ends with its only flow.
            with temporary_settings({PREFECT_API_URL: server.api_url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                yield
        finally:
            server.stop()


def serve(schedules: Sequence[Schedule], say: Callable[[str], None]) -> None:
    """Serve builds by cron until interrupted."""
    with _running_server() as url, temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT_SECONDS}):
        _crash_what_stops_beating()
        say(f"Prefect server: {url}")
        for one in schedules:
            say(f"{one.name}: {one.config} -> {one.out}, {one.cron} ({one.timezone})")
        serve_deployments(*(_deployment(one) for one in schedules), print_starting_message=False)


def _deployment(schedule: Schedule) -> RunnerDeployment:
    made = build.to_deployment(
        name=schedule.name,
        schedule=Cron(schedule.cron, timezone=schedule.timezone),
        parameters={
            "config": str(Path(schedule.config).resolve()) if schedule.config.endswith(".toml") else schedule.config,
            "out": str(Path(schedule.out).resolve()),
            "settings": schedule.overrides(),
            "workers": schedule.workers,
        },
        concurrency_limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)
    return made


@contextlib.contextmanager
def _running_server() -> Iterator[str]:
    configured = PREFECT_API_URL.value()
    if configured:
        yield configured
        return
    _end_leftovers()
    host, port = PREFECT_SERVER_API_HOST.value(), PREFECT_SERVER_API_PORT.value()
    url = f"http://{host}:{port}/api"
    if _healthy(url):
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
        return
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", str(host), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with _recorded(process.pid):
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


def _crash_what_stops_beating() -> None:
    """Have the server mark a run as crashed when its process is gone: killed hard, it cannot say so itself."""
    name = "tokenmill: crash builds that stopped beating"
    ended = [f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")]
    automation = AutomationCore(
        name=name,
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *ended},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=3 * HEARTBEAT_SECONDS),
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="no heartbeat: its process is gone", force=True)
        ],
    )
    with get_client(sync_client=True) as client:
        if not client.read_automations_by_name(name):
            client.create_automation(automation)


def _records() -> Path:
    return Path(PREFECT_HOME.value(), "tokenmill-servers")


@contextlib.contextmanager
def _recorded(pid: int) -> Iterator[None]:
    """Remember the server `pid` while this block runs, so that the next start can end it if we are killed."""
    record = _records() / f"{os.getpid()}.json"
    files.write_json(record, {"server": _identity(pid), "owner": _identity(os.getpid())})
    try:
        yield
    finally:
        files.remove(record)


def _end_leftovers() -> None:
    """End servers whose owner was killed."""
    for record in sorted(_records().glob("*.json")):
        try:
            known = json.loads(record.read_bytes())
            owner, server = known["owner"], known["server"]
        except (OSError, ValueError, KeyError):
            files.remove(record)
            continue
        if owner == _identity(owner["pid"]):
            continue
        if server == _identity(server["pid"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(server["pid"], signal.SIGTERM)
        files.remove(record)


def _identity(pid: int) -> dict[str, int | str | None]:
    """A process id with its start time since boot, because ids are used again. The time is None where /proc is missing."""
    try:
        # The name of the program, in parentheses, may hold spaces; the start time is field 22 (proc(5)).
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        started = None
    return {"pid": pid, "started": started}
