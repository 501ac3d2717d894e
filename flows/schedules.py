"""Reads the builds of a SCHEDULES.toml, for `tokenmill serve`.

Guarantee: an unknown preset, an unknown setting or a broken cron expression is refused before any server starts. Cost: none.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from prefect.client.schemas.schedules import CronSchedule
from pydantic import Field, ValidationError, model_validator

from tokenmill.flows.presets import resolve
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Section


class Schedule(Section):
    """One scheduled build. Relative paths start at the folder where `tokenmill serve` runs."""

    name: str = Field(min_length=1)
    config: str
    out: str
    cron: str
    timezone: str = "UTC"
    workers: int = Field(default=1, ge=1)
    settings: Mapping[str, Any] = {}

    @model_validator(mode="after")
    def _times(self) -> Self:
        CronSchedule(cron=self.cron, timezone=self.timezone)
        return self

    def overrides(self) -> dict[str, str]:
        """The settings as strings, in the form that `--set` takes."""
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.settings.items()}


class _Schedules(Section):
    build: tuple[Schedule, ...] = Field(min_length=1)


def read(path: Path) -> tuple[Schedule, ...]:
    """The builds of a SCHEDULES.toml. Raises ConfigError."""
    try:
        with open(path, "rb") as handle:
            builds = _Schedules.model_validate(tomllib.load(handle)).build
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML ({error})") from error
    except ValidationError as error:
        faults = (f"{path}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors())
        raise ConfigError("\n".join(faults)) from error
    names = [one.name for one in builds]
    if len(set(names)) != len(names):
        raise ConfigError(f"{path}: the names of builds must differ, given: {', '.join(names)}")
    for one in builds:
        try:
            resolve(one.config, one.overrides())
        except ConfigError as error:
            raise ConfigError(f"{path}: build {one.name!r}: {error}") from error
    return builds
