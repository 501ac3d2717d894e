"""Watches over the runs of a SCHEDULES.toml while it is served: what was killed is marked as crashed, and dealt with.

Purpose: `serve` itself sees when a process of its own ends. This is for those that ended with an earlier `serve`, a machine
that went down, or unseen.
Guarantee: it only proposes what Prefect's rules allow, so a run that has ended keeps its state. It leaves nothing on the
server.
Cost: one request every 15 seconds.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import OrchestrationResult
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException
from prefect.states import Crashed

from tokenmill.flows import ending, process
from tokenmill.flows.tags import of_file

EVERY_SECONDS = 15
GRACE = timedelta(seconds=60)
"""The run itself, and who started it, have this long to report an end before it is dealt with here."""
LATELY = timedelta(hours=1)
"""Runs that crashed longer ago are left alone."""


@contextmanager
def watched(file: str) -> Iterator[None]:
    """Watch over the runs of the schedules in `file`, an absolute path, while the block runs."""
    stop = threading.Event()
    context = contextvars.copy_context()  # the address of the server stands there
    thread = threading.Thread(target=context.run, args=(_watch, file, stop), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(file: str, stop: threading.Event) -> None:
    began, suspects = datetime.now(UTC), set[UUID]()
    while not stop.wait(EVERY_SECONDS):
        # A server that does not answer is asked again. So is one that refused something: a run may be deleted meanwhile.
        try:
            with get_client(sync_client=True) as client:
                suspects = look(client, file, began, suspects)
        except (httpx.HTTPError, PrefectException):
            continue


def look(client: SyncPrefectClient, file: str, began: datetime, suspects: set[UUID]) -> set[UUID]:
    """Look once at the runs of a file. A run without a process is crashed at the second look, when it is among `suspects`.

    `began`: when this watch did. Returns the suspects of the next look.
    """
    types = [StateType.RUNNING, StateType.PENDING, StateType.CRASHED]
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[of_file(file)])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types))),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=200,
    )
    now, found = datetime.now(UTC), set[UUID]()
    for run in runs:
        if run.state is None:
            continue
        age = now - run.state.timestamp
        if run.state.is_crashed():
            if GRACE < age < LATELY:
                ending.ended(None, run, run.state)
        elif run.state.is_running() and process.gone(run.labels):
            if run.id not in suspects:
                found.add(run.id)
                continue
            _crash(client, run, "its process is gone")
        elif run.state.is_pending() and age > GRACE and run.state.timestamp < began:
            _crash(client, run, "its process never began")
    return found


def _crash(client: SyncPrefectClient, run: FlowRun, why: str) -> None:
    answer: OrchestrationResult[Any] = client.set_flow_run_state(
        run.id, Crashed(message=f"{why} without a word: it was killed, or its machine went down")
    )
    if answer.state is not None and answer.state.is_crashed():
        ending.ended(None, run, answer.state)
