"""The server under `tokenmill serve`.

Guarantee: it listens on the loopback, unless PREFECT_SERVER_API_HOST says otherwise, and answers nobody without its password. A
server that is configured (PREFECT_API_URL) is used as it is; one that merely answers at the same port is not. Whatever a
deployment says, the runs that are started run our flow, in the folders of the schedules.
Cost: see `start`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
from prefect.exceptions import PrefectException
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_HOME,
    PREFECT_SERVER_API_HOST,
    PREFECT_SERVER_API_PORT,
    temporary_settings,
)

from tokenmill.flows.cli.environment import limit_runs
from tokenmill.flows.schedules import Schedule
from tokenmill.flows.server import secret
from tokenmill.flows.server.ours import ENTRYPOINT
from tokenmill.flows.server.running import gone
from tokenmill.flows.server.start import Server, answers, failure, require_answer, started
from tokenmill.flows.serving import run_on_time
from tokenmill.pipeline.base import ownership
from tokenmill.pipeline.base.errors import ConfigError, TokenmillError
from tokenmill.pipeline.base.words import address

RETRIES = 2
"""How often a request is repeated: a server that has died does not come back, and the builds that it ran end without it."""


def serve(schedules: Sequence[Schedule], say: Callable[[str], None]) -> None:
    """Run builds at their cron times, until interrupted. `say` prints a line.

    Raises ConfigError for a folder that is not empty and holds no corpus, before a server starts; TokenmillError.
    """
    for one in schedules:
        try:
            ownership.require_room(Path(one.out))
        except ConfigError as error:
            raise ConfigError(f"build {one.name!r}: {error}") from error
    limit_runs(ENTRYPOINT, (one.out for one in schedules))
    with _server(say) as server:
        try:
            run_on_time(schedules, say, server)
        except (httpx.HTTPError, PrefectException) as error:
            url = str(PREFECT_API_URL.value())
            raise TokenmillError(failure(url, error) if answers(url) else gone(url)) from error


@contextlib.contextmanager
def _server(say: Callable[[str], None]) -> Iterator[Server | None]:
    """The server that this starts; None if another one is configured."""
    if configured := PREFECT_API_URL.value():
        require_answer(configured)
        say(f"Prefect server: {address(configured)}")
        yield None
        return
    port = PREFECT_SERVER_API_PORT.value()
    say("starting Prefect's server")
    with started("full", str(PREFECT_SERVER_API_HOST.value()), port) as server:
        server.await_answer(say)
        file = PREFECT_HOME.value() / f"password-{port}"
        with secret.told(server.password, file), temporary_settings({**server.client(), PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
            say(f"Prefect server: {server.url}")
            say(f"Prefect's page: {server.page}, its password is in {file}")
            yield server
