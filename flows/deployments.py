"""Schedules as Prefect's deployments: made, registered, taken back, and written as a prefect.yaml.

Guarantee: a deployment runs the flow of this package and nothing else. A build that its file no longer names, or whose times
were removed, has no live schedule after `retire` or the next deployment. Cost: two requests for each build.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
)
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.exceptions import ObjectNotFound, PrefectException
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.types.entrypoint import EntrypointType

from tokenmill.flows import tags
from tokenmill.flows.flow import build
from tokenmill.flows.schedules import Schedule
from tokenmill.flows.server.ours import ENTRYPOINT
from tokenmill.flows.server.start import failure, require_answer
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import ConfigError, TokenmillError


def deployment(schedule: Schedule) -> RunnerDeployment:
    """The deployment of a scheduled build. Raises TokenmillError."""
    made = build.to_deployment(
        name=schedule.name,
        schedules=[Cron(one, timezone=schedule.timezone) for one in schedule.cron],
        parameters=_parameters(schedule),
        tags=_tags(schedule),
        description=f"{schedule.config} -> {schedule.out}, as {schedule.file} says",
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    if not isinstance(made, RunnerDeployment):
        raise TokenmillError(f"Prefect gave no deployment for {schedule.name}, but {type(made).__name__}")
    return made


def retire(schedules: Sequence[Schedule], say: Callable[[str], None]) -> None:
    """Take back the schedules of builds that their file no longer names, or gives no times. `say` prints a line.

    Names that another file has there are said. To update a deployment without schedules would leave it those that it has.
    """
    with get_client(sync_client=True) as client:
        _say_replaced(client, schedules, say)
        for file in dict.fromkeys(one.file for one in schedules):
            timed = {one.name for one in schedules if one.file == file and one.cron}
            for found in client.read_deployments(
                deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[tags.of_file(file)]))
            ):
                if found.name not in timed and found.schedules:
                    client.update_deployment(found.id, DeploymentUpdate(schedules=[], tags=found.tags, paused=True))
                    say(f"{found.name}: {file} no longer gives it times, so its schedule is removed")


def _say_replaced(client: SyncPrefectClient, schedules: Sequence[Schedule], say: Callable[[str], None]) -> None:
    """Say where a deployment of another file has the name of one of ours, since a server has one of each name."""
    ours = {one.name: tags.of_file(one.file) for one in schedules}
    named = DeploymentFilter(name=DeploymentFilterName(any_=list(ours)))
    flow = FlowFilter(name=FlowFilterName(any_=[build.name]))
    for found in client.read_deployments(flow_filter=flow, deployment_filter=named):
        other = next((tag for tag in found.tags if tags.is_of_file(tag) and tag != ours[found.name]), None)
        if other is not None:
            say(f"{found.name}: replaces the build of that name from {other}")


def deploy(schedules: Sequence[Schedule], pool: str, say: Callable[[str], None]) -> None:
    """Register the schedules on the configured server, for the workers of a pool. Raises ConfigError, TokenmillError."""
    url = PREFECT_API_URL.value()
    if url is None:
        raise ConfigError("no Prefect server is configured; set PREFECT_API_URL, or write a prefect.yaml with --prefect-yaml")
    require_answer(url)
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
            _deploy(schedules, pool, say)
    except (httpx.HTTPError, PrefectException) as error:
        raise TokenmillError(failure(url, error)) from error


def _deploy(schedules: Sequence[Schedule], pool: str, say: Callable[[str], None]) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound as error:
            raise ConfigError(
                f"Prefect's server has no work pool {pool!r}; make it with `prefect work-pool create {pool} --type process`"
            ) from error
    for one in schedules:
        if one.notify is not None:
            one.notify.check_block()
    retire(schedules, say)
    for one in schedules:
        try:
            deployment(one).apply(work_pool_name=pool, _sync=True)  # type: ignore[call-arg]  # of its dispatch
        except DeploymentApplyError as error:
            raise TokenmillError(f"{one.name}: Prefect's server refuses it: {error}") from error
        say(f"{one.name}: {', '.join(one.cron) or 'no times'} ({one.timezone}), for workers of {pool}")


def write_yaml(schedules: Sequence[Schedule], pool: str, path: Path) -> None:
    """Write the same deployments as a prefect.yaml, for `prefect deploy --all`. Raises ConfigError if it is there already."""
    if path.exists():
        raise ConfigError(f"{path} is there already; remove it, or name another file")
    entries = [
        {
            "name": one.name,
            "entrypoint": ENTRYPOINT,
            "description": f"{one.config} -> {one.out}, as {one.file} says",
            "tags": _tags(one),
            "parameters": _parameters(one),
            "schedules": [{"cron": cron, "timezone": one.timezone} for cron in one.cron],
            "work_pool": {"name": pool},
        }
        for one in schedules
    ]
    text = yaml.safe_dump({"name": "tokenmill", "pull": [], "deployments": entries}, sort_keys=False, allow_unicode=True)
    files.write_bytes(path, text.encode())


def _parameters(schedule: Schedule) -> dict[str, Any]:
    return {
        "config": schedule.config,
        "out": schedule.out,
        "settings": schedule.overrides(),
        "workers": schedule.workers,
        "schedule": schedule.behaviour.model_dump(mode="json", exclude_none=True),
    }


def _tags(schedule: Schedule) -> list[str]:
    return ["tokenmill", *tags.of_corpus(Path(schedule.out)), tags.of_file(schedule.file)]
