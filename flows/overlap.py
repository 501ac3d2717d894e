"""What a scheduled run does while somebody else builds the same corpus: it waits, or it is skipped.

Guarantee: the page of the run says for whom. Of one schedule at most one run waits, so that a build that takes longer than its
schedule piles up nothing. A build by hand is refused as ever. Cost: none where nobody else builds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Running

from tokenmill.flows import process, tags
from tokenmill.flows.build import Building
from tokenmill.flows.schedules import Behaviour
from tokenmill.pipeline.base.errors import Locked
from tokenmill.pipeline.base.progress import Progress

EVERY_SECONDS = 2
WAITING = "Waiting"
"""The name of the state of a run that waits: it is in its process, so its type is Running."""


@contextlib.contextmanager
def alone(
    begin: Callable[[], AbstractContextManager[Building]], root: Path, asked: Behaviour | None, progress: Progress
) -> Iterator[Building | str]:
    """The build, once nobody else is at work in `root`; a text that says why not, for a run that is skipped.

    Raises Locked for a run without a schedule, and whatever `begin` raises.
    """
    with contextlib.ExitStack() as stack:
        entered = _enter(stack, begin)
        if isinstance(entered, Locked) and asked is None:
            raise entered
        if isinstance(entered, Locked) and asked is not None:
            with get_client(sync_client=True) as client:
                me = client.read_flow_run(UUID(str(runtime.flow_run.id)))
                runs = _others(client, root, me)
                for_whom = _builder(runs, root, str(entered))
                waiting = next((run for run in runs if _waits(run, me)), None)
                if asked.on_overlap == "wait" and waiting is None:
                    progress.say(f"waiting: {for_whom}")
                    client.set_flow_run_state(me.id, Running(name=WAITING, message=for_whom))
                    # Two that looked at the same moment may both wait now: the one that was made later leaves.
                    while isinstance(entered, Locked) and not (waiting := _earlier(_others(client, root, me), me)):
                        time.sleep(EVERY_SECONDS)
                        entered = _enter(stack, begin)
                if isinstance(entered, Locked):
                    why = f"skipped: {f'{waiting.name} waits already to build {root}' if waiting else for_whom}"
                    progress.say(why)
                    yield why
                    return
                client.set_flow_run_state(me.id, Running(message=f"waited: {for_whom}"))
                progress.say("the corpus is free now")
        assert isinstance(entered, Building)
        yield entered


def _enter(stack: contextlib.ExitStack, begin: Callable[[], AbstractContextManager[Building]]) -> Building | Locked:
    try:
        return stack.enter_context(begin())
    except Locked as error:
        return error


def _others(client: SyncPrefectClient, root: Path, me: FlowRun) -> list[FlowRun]:
    """The other runs that build `root`, or wait to."""
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    here = FlowRunFilter(tags=FlowRunFilterTags(all_=[tags.of_corpus(root)[1]]), state=running)
    return [run for run in client.read_flow_runs(flow_run_filter=here) if run.id != me.id]


def _builder(runs: list[FlowRun], root: Path, locked: str) -> str:
    """Who builds, in words. `locked`: what the lock of the corpus says of its holder, which may be somebody without a run."""
    building = next((run.name for run in runs if process.named(run.labels) in locked), None)
    return f"{building} builds {root}" if building else locked.partition(";")[0]


def _waits(run: FlowRun, me: FlowRun) -> bool:
    """Whether it is of the schedule of `me`, and waits."""
    return run.deployment_id == me.deployment_id and run.state is not None and run.state.name == WAITING


def _earlier(runs: list[FlowRun], me: FlowRun) -> FlowRun | None:
    """A run of the schedule of `me` that waits and was made before it."""
    return next((run for run in runs if _waits(run, me) and (str(run.created), run.id) < (str(me.created), me.id)), None)
