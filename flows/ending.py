"""What follows when a scheduled run has ended: it is run again, and somebody is told.

Guarantee: no state of a run is changed. A run that failed or was killed stays so for ever; another one takes its place. Each
end is dealt with once, whoever sees it first: the run itself, or what watches over it.
Cost: three requests to Prefect's server, and the message.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectException
from pydantic import ValidationError

from tokenmill.flows import runlog
from tokenmill.flows.notify import Event, tell
from tokenmill.flows.schedules import Behaviour
from tokenmill.pipeline.ask.status import alarms
from tokenmill.pipeline.base import errors
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.manifest import PACK
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.tokens.facts import PackFacts

AGAIN = " · retry "
"""Stands in the name of a run that is run again, before the number of the attempt."""
TOLD = "tokenmill.ended"
"""The label of a run whose end was dealt with: state and number of its execution."""
RAISED = re.compile(r"Flow run encountered an exception: (\w+): (.*)", re.DOTALL)
OURS = {one.__name__ for one in vars(errors).values() if isinstance(one, type) and issubclass(one, TokenmillError)}
PLAIN = ("Process exited", "Execution was aborted", "Execution was cancelled", "its process")
"""How messages begin that repeat nothing."""
LONGEST = 1_000
"""Characters of an error that a message repeats. The log of the run has all of it."""


def ended(flow: Any, flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of the flow: deal with the end of a run. Runs that belong to no schedule are left alone."""
    asked = behaviour(flow_run.parameters)
    if asked is None or not (state.is_completed() or state.is_failed() or state.is_crashed()):
        return
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run.id)
        this = f"{state.type.value} {run.run_count}"
        if run.labels.get(TOLD) == this:
            return
        client.update_flow_run_labels(run.id, {TOLD: this})
        again = None if state.is_completed() else _run_again(client, run, asked)
    event, lines = _what_happened(run, state, again)
    if event is not None and asked.notify is not None and event in asked.notify.on:
        title = f"{asked.name}: {_TITLES[event]}"
        try:
            tell(asked.notify, title, "\n".join((run.name, *lines)), event)
        except TokenmillError as error:
            runlog.line(run.id, f"nobody was told of this {event}: {error}", logging.ERROR)
        else:
            runlog.line(run.id, f"told of this {event}: {asked.notify.place}")


_TITLES: Mapping[Event, str] = {
    "failure": "the build failed",
    "crash": "the build was killed",
    "alarm": "the corpus needs a look",
    "success": "the corpus is built",
}


def behaviour(parameters: Mapping[str, Any]) -> Behaviour | None:
    """What the schedule of a run says; None for a run without one, or with one that `parameters.checked` refuses."""
    try:
        return Behaviour.model_validate(parameters["schedule"]) if parameters.get("schedule") else None
    except ValidationError:
        return None


def _run_again(client: SyncPrefectClient, run: FlowRun, asked: Behaviour) -> str | None:
    """Ask for another run in the place of this one, if the schedule wants that. Returns its name."""
    first, _, number = run.name.rpartition(AGAIN)
    first, attempt = (first, int(number) + 1) if number.isdecimal() else (run.name, 1)
    if attempt > asked.retries or run.deployment_id is None:
        return None
    name = f"{first}{AGAIN}{attempt}"
    try:
        client.create_flow_run_from_deployment(
            run.deployment_id,
            name=name,
            parameters=run.parameters,
            tags=run.tags,
            idempotency_key=f"tokenmill again {run.id} {run.run_count}",
        )
    except (httpx.HTTPError, PrefectException) as error:
        # Its deployment was deleted, or takes no such parameters. Whoever is to be told is told all the same.
        runlog.line(run.id, f"it is not run again: the server refuses it ({type(error).__name__})", logging.ERROR)
        return None
    runlog.line(run.id, f"it is run again as {name!r}, of at most {asked.retries}; what is finished is kept")
    return name


def _what_happened(run: FlowRun, state: State[Any], again: str | None) -> tuple[Event | None, list[str]]:
    lines = [f"corpus: {run.parameters.get('out')}"]
    if state.is_completed():
        try:
            corpus = open_corpus(Path(str(run.parameters.get("out"))))
        except TokenmillError as error:
            # Somebody has moved or edited it since.
            return "alarm", [*lines, f"alarm: {error}"]
        pack, found = corpus.require(PACK), alarms(corpus)
        lines.append(f"{pack.counts.kept:,} documents, {PackFacts.of(pack).tokens:,} tokens")
        return ("alarm" if found else "success"), [*lines, *(f"alarm: {one}" for one in found)]
    lines.append(f"why: {_why(state)}")
    lines.append(f"it is run again as {again}" if again else "it is not run again by itself; what is finished is kept")
    return ("crash" if state.is_crashed() else "failure"), lines


def _why(state: State[Any]) -> str:
    """The reason in words. The message of an error that is not ours may hold anything, so only its name is repeated."""
    said = state.message or ""
    if raised := RAISED.match(said):
        name, message = raised.groups()
        return message[:LONGEST] if name in OURS else f"{name}; the log of the run says where"
    return said[:LONGEST] if said.startswith(PLAIN) else "the log of the run says it"
