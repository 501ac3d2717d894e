"""A build on a Prefect server of its own, and without one where Prefect fails.

Guarantee: Prefect may die, a build may not. If no server starts, or if it stops answering, the user reads one line, and the
build goes on from the files that it has written.
Cost: see `start`; the server starts while the build loads what it needs.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import httpx
from prefect.client.orchestration import get_client
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, CancelledRun, PrefectException
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)

from tokenmill.flows.server.start import answers, failure, require_answer, started
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.words import address

HOST = "127.0.0.1"
RETRIES = 1
"""How often a request is repeated. By default Prefect waits minutes for a server that has died."""

WORKERS = ("EventsWorker", "prefect._internal")
"""Loggers of threads that would tell, in long lines, that a server is gone."""


def build(
    flow: Callable[[], object], plain: Callable[[], object], *, meanwhile: Callable[[], object], say: Callable[[str], None]
) -> None:
    """Run `flow` on the server that is configured, or else on a new one; if Prefect fails, run `plain`.

    Parameters
    ----------
    meanwhile
        Work that needs no server, done while one starts.
    say
        Prints a line.

    Raises
    ------
    TokenmillError
        The build failed. So do other errors of its steps.
    """
    try:
        with _server(meanwhile, say):
            flow()
    except _PrefectFailed as error:
        say(f"{error}; the build goes on without Prefect")
    else:
        return
    plain()


class _PrefectFailed(Exception):
    """No server started, it cannot be used, or it stopped answering."""


@contextlib.contextmanager
def _server(meanwhile: Callable[[], object], say: Callable[[str], None]) -> Iterator[None]:
    configured = PREFECT_API_URL.value()
    if configured:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
            _require_usable(configured)
            with _watched(configured):
                yield
        return
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(started("embedded", HOST, 0))
        except TokenmillError as error:
            raise _PrefectFailed(str(error)) from error
        meanwhile()
        try:
            server.await_answer(say)
        except TokenmillError as error:
            raise _PrefectFailed(str(error)) from error
        # Heartbeats cost a second per flow, and nobody watches a server that ends with its only flow.
        ours = {PREFECT_CLIENT_MAX_RETRIES: RETRIES, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}
        with temporary_settings({**server.client(), **ours}), _watched(server.url):
            yield


@contextlib.contextmanager
def _watched(url: str) -> Iterator[None]:
    """Tell an error of a server that is gone from one of the build."""
    # By default, each event that waits to be sent to a server that is gone waits for it again, ten times.
    EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=0)
    for name in WORKERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    except (Abort, CancelledRun) as error:
        raise TokenmillError("the run was cancelled in Prefect; run the same command again to go on where it was") from error
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        if not answers(url):
            raise _PrefectFailed(f"Prefect's server at {address(url)} does not answer any more") from error
        if isinstance(error, RuntimeError):
            raise  # of the build: Prefect's client raises one only where no server answers
        raise _PrefectFailed(failure(url, error)) from error


def _require_usable(url: str) -> None:
    """Raise _PrefectFailed if a server does not answer, does not let this program in, or is of another version."""
    try:
        require_answer(url)
        with get_client(sync_client=True) as client:
            client.raise_for_api_version_mismatch()
    except TokenmillError as error:
        raise _PrefectFailed(str(error)) from error
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        raise _PrefectFailed(failure(url, error)) from error
