"""The Prefect flow of an ablation: a task for each corpus, each training, and the result.

Guarantee: as of `flows.flow`: Prefect does not decide what is up to date, and no data passes through it.
Cost: one task for each corpus and each training.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from tokenmill.flows.ablation.work import Ablating
from tokenmill.flows.runlog import RunLog, sent
from tokenmill.flows.tags import put_on_this_run

current: ContextVar[Ablating] = ContextVar("current")
"""The ablation of this process. It is no parameter, because Prefect stores parameters in plain text."""


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="build {name}")
def build(name: str) -> None:
    """Bring the corpus of a variant up to date."""
    current.get().build(name)


@task(cache_policy=NO_CACHE, persist_result=False)
def hold_out() -> None:
    """Read the held-out sets."""
    current.get().hold_out()


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="train {name}, seed {seed}")
def train(name: str, seed: int) -> None:
    """Train and measure a model."""
    current.get().train(name, seed)


@task(cache_policy=NO_CACHE, persist_result=False)
def compare() -> None:
    """Publish the result."""
    current.get().finish()


@flow(name="tokenmill-ablation", flow_run_name="{name}", persist_result=False)
def ablate(name: str) -> None:
    """Perform the current ablation, of this name."""
    ablating = current.get()
    shown = ablating.progress
    log = RunLog(shown, scheduled=False)
    log.show_corpus(ablating.root)
    put_on_this_run(ablating.root)
    with contextlib.ExitStack() as stack:
        stack.callback(sent)
        # If Prefect fails, the work goes on without it.
        stack.callback(setattr, ablating, "progress", shown)
        stack.enter_context(log.errors())
        ablating.progress = log
        for each in ablating.ablation.variants:
            with log.step("build"):
                build(each)
        with log.step("held-out"):
            hold_out()
        for each, seed in ablating.trainings:
            with log.step("train"):
                train(each, seed)
        compare()
