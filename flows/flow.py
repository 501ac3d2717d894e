"""The Prefect flow that builds a corpus, one task per step.

Purpose: Prefect shows builds, schedules them and retries them.
Guarantee: Prefect does not decide what is up to date, and no data passes through it.
Cost: an embedded server on SQLite takes 5 to 10 seconds to start. None is started if everything is up to date.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tokenmill.flows.build import Building, building, outline
from tokenmill.flows.presets import made_by, resolve
from tokenmill.pipeline.ask.expectations import markdown
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.corpus import REPORT, open_corpus
from tokenmill.pipeline.report import funnel_markdown
from tokenmill.pipeline.stages.step import Done

progress: ContextVar[Progress] = ContextVar("progress", default=Silent())  # noqa: B039 -- Silent has no state
"""Where the flow of this process shows its progress."""
overrides: ContextVar[dict[str, str]] = ContextVar("overrides", default={})  # noqa: B039 -- nothing mutates it
"""Settings from the command line. They are not a parameter of the flow, because Prefect stores parameters in plain text."""


@task(cache_policy=NO_CACHE, task_run_name="{name}")
def step(corpus: Building, name: str) -> Done:
    """Bring one step of the corpus up to date."""
    return corpus.perform(name)


@task(cache_policy=NO_CACHE, task_run_name="report")
def report(corpus: Building) -> None:
    """Publish the corpus with its report; show the funnel and the path of the report as artifacts."""
    corpus.finish()
    create_markdown_artifact(funnel_markdown(open_corpus(corpus.root)), key="funnel", description="Documents through the steps")
    create_markdown_artifact(f"`{corpus.root / REPORT}`", key="report", description="Where the report is")
    if corpus.expected:
        create_markdown_artifact(markdown(corpus.expected), key="expectations", description="What the corpus is expected to be")


@flow(name="tokenmill-build", validate_parameters=False)
def build(
    config: str,
    out: str,
    settings: dict[str, str] | None = None,
    workers: int = 1,
    replace: bool = False,
    in_place: bool = False,
) -> str:
    """Build the corpus that `config` (a preset or a TOML file) and `settings` describe in the folder `out`. Returns `out`."""
    wanted = resolve(config, {**overrides.get(), **(settings or {})})
    with building(
        wanted,
        Path(out),
        workers=workers,
        progress=progress.get(),
        made_by=made_by(config, Path(out)),
        replace=replace,
        in_place=in_place,
    ) as corpus:
        for name in outline(wanted):
            step(corpus, name)
        report(corpus)
        corpus.require_expected()
    return out
