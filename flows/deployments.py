"""Schedules as Prefect's deployments.

Guarantee: a deployment runs the flow of this package and nothing else. Cost: none.
"""

from __future__ import annotations

from pathlib import Path

from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType

from tokenmill.flows.flow import build
from tokenmill.flows.schedules import Schedule
from tokenmill.pipeline.base.errors import TokenmillError


def deployment(schedule: Schedule) -> RunnerDeployment:
    """The deployment of a scheduled build. Raises TokenmillError."""
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
    if not isinstance(made, RunnerDeployment):
        raise TokenmillError(f"Prefect gave no deployment for {schedule.name}, but {type(made).__name__}")
    return made
