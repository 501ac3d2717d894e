"""The Prefect flow that builds a corpus, one task per step.

Purpose: Prefect shows builds, schedules them and runs them again.
Guarantee: Prefect does not decide what is up to date, and no data passes through it. What it stores of a run is JSON.
Cost: an embedded server on SQLite takes 5 to 10 seconds to start. None is started if everything is up to date.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from prefect import State, flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled
from prefect.utilities.annotations import quote

from tokenmill.flows.build import Building, building, outline
from tokenmill.flows.ending import AGAIN, behaviour, ended
from tokenmill.flows.overlap import alone
from tokenmill.flows.parameters import checked
from tokenmill.flows.presets import made_by
from tokenmill.flows.process import claim
from tokenmill.flows.runlog import RunLog, sent
from tokenmill.flows.tags import put_on_this_run
from tokenmill.pipeline.ask.expectations import markdown
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.corpus import open_corpus
from tokenmill.pipeline.stages.step import Done

progress: ContextVar[Progress] = ContextVar("progress", default=Silent())  # noqa: B039 -- Silent has no state
"""Where the flow of this process shows its progress."""
overrides: ContextVar[dict[str, str]] = ContextVar("overrides", default={})  # noqa: B039 -- nothing mutates it
"""Settings from the command line. They are not a parameter of the flow, because Prefect stores parameters in plain text."""
looked: ContextVar[tuple[str, ...] | None] = ContextVar("looked", default=None)
"""What `preflight.check` found for the build of this process, if it was asked while the server started."""


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="{name}")
def step(corpus: Building, log: RunLog, name: str) -> Done:
    """Bring one step of the corpus up to date."""
    with log.step(name):
        done = corpus.perform(name)
    log.counts(done)
    return done


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="report")
def report(corpus: Building, log: RunLog) -> None:
    """Publish the corpus with its report; show the funnel, and where the report is."""
    with log.step("report"):
        corpus.finish()
    log.published(open_corpus(corpus.root), markdown(corpus.expected) if corpus.expected else None)


def run_name() -> str:
    """The name of this run: that of its schedule, or else of the corpus, and its time there, `nightly · 2026-11-25 03:00`."""
    parameters, given = runtime.flow_run.parameters, str(runtime.flow_run.name)
    if AGAIN in given:
        return given
    asked = behaviour(parameters)
    when = runtime.flow_run.scheduled_start_time.astimezone(ZoneInfo(asked.timezone) if asked else None)
    return f"{asked.name if asked else Path(str(parameters['out'])).name} · {when:%Y-%m-%d %H:%M}"


@flow(
    name="tokenmill-build",
    flow_run_name=run_name,
    validate_parameters=False,
    persist_result=True,
    result_serializer="json",
    on_completion=[ended],
    on_failure=[ended],
    on_crashed=[ended],
)
def build(
    config: str,
    out: str,
    settings: dict[str, str] | None = None,
    workers: int = 1,
    replace: bool = False,
    in_place: bool = False,
    schedule: dict[str, Any] | None = None,
) -> str | State[Any]:
    """Build the corpus that `config` (a preset or a TOML file) and `settings` describe in the folder `out`. Returns `out`.

    `schedule`: the values of a `Behaviour`, for a run that belongs to a schedule. A scheduled run that is to be skipped since
    somebody else builds this corpus ends as Cancelled, with the name Skipped.
    """
    asked = behaviour({"schedule": schedule})
    log = RunLog(progress.get(), scheduled=asked is not None)
    with contextlib.ExitStack() as stack:
        stack.callback(sent)
        stack.enter_context(log.errors())
        if asked is not None:
            claim(runtime.flow_run.id)
        given = {"config": config, "out": out, "settings": settings, "schedule": schedule or None}
        wanted = checked({**given, "workers": workers, "replace": replace, "in_place": in_place}, overrides.get())
        root = Path(out)
        log.show_corpus(root)
        put_on_this_run(root)
        with alone(
            lambda: building(
                wanted,
                root,
                workers=workers,
                progress=log,
                made_by=made_by(config, root),
                replace=replace,
                in_place=in_place,
                looked=looked.get(),
            ),
            root,
            asked,
            log,
        ) as corpus:
            if isinstance(corpus, str):
                return Cancelled(name="Skipped", message=corpus)
            # Prefect looks for its own values in what tasks are given, and takes a section with a setting `keys` for a mapping.
            given_whole: Any = quote(corpus)  # unwrapped before the task sees it
            for name in outline(wanted):
                step(given_whole, log, name)
            report(given_whole, log)
            corpus.require_expected()
    return out
