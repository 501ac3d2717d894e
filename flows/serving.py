"""Runs the builds of schedules, on a Prefect server that answers.

Guarantee: a run that has ended keeps its state. Cost: none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from prefect.client.orchestration import get_client
from prefect.runner import Runner

from tokenmill.flows.deployments import deployment, retire
from tokenmill.flows.schedules import Schedule
from tokenmill.flows.server import running
from tokenmill.flows.server.start import Server
from tokenmill.flows.watch import watched

FORCING = "tokenmill: crash builds that stopped beating"
"""The automation that version 0.1.0 left on every server. It turned finished runs of all flows into crashed ones."""


def run_on_time(schedules: Sequence[Schedule], say: Callable[[str], None], server: Server | None) -> None:
    """Run builds at their times, until interrupted. `say` prints a line. `server`: the one of this process, if it has one.

    Raises ConfigError, KeyboardInterrupt, TokenmillError.
    """
    _remove_forcing_automation()
    for one in schedules:
        if one.notify is not None:
            one.notify.check_block()
    retire(schedules, say)
    for one in schedules:
        say(f"{one.name}: {one.config} -> {one.out}, {', '.join(one.cron) or 'no times'} ({one.timezone})")
    with contextlib.ExitStack() as stack:
        for file in dict.fromkeys(one.file for one in schedules):
            stack.enter_context(watched(file))
        runner = Runner()
        for one in schedules:
            runner.add_deployment(deployment(one))
        running.run(runner, server)


def _remove_forcing_automation() -> None:
    with get_client(sync_client=True) as client:
        for found in client.read_automations_by_name(FORCING):
            client.delete_automation(found.id)
