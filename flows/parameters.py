"""The parameters of a run, checked before any work.

Purpose: a run may be asked for by anyone who can reach the API of Prefect's server, with any parameters.
Guarantee: what passes has the right types, names a preset or a file that exists and settings that exist, and builds in a folder
that `tokenmill serve` was started for.
Cost: one read of the config.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, StrictBool, StrictInt, StrictStr, ValidationError

from tokenmill.flows.cli.environment import build_folders
from tokenmill.flows.paths import FolderText, PathText
from tokenmill.flows.presets import resolve
from tokenmill.flows.schedules import Behaviour
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Config, Section


class _Parameters(Section):
    config: PathText
    out: FolderText
    settings: Mapping[StrictStr, StrictStr] | None
    workers: StrictInt = Field(ge=1)
    replace: StrictBool
    in_place: StrictBool
    schedule: Behaviour | None = None


def checked(given: Mapping[str, Any], overrides: Mapping[str, str]) -> Config:
    """The config that a run with the parameters `given` builds; `overrides` are the settings of the command line.

    Raises ConfigError, which names each parameter or setting that is wrong.
    """
    try:
        parameters = _Parameters.model_validate(given)
    except ValidationError as error:
        faults = (
            f"parameter {'.'.join(str(part) for part in fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise ConfigError("\n".join(faults)) from error
    _require_allowed(Path(parameters.out))
    return resolve(parameters.config, {**overrides, **(parameters.settings or {})})


def _require_allowed(out: Path) -> None:
    folders = build_folders()
    if folders is not None and not any(out.resolve().is_relative_to(folder) for folder in folders):
        raise ConfigError(
            f"parameter out: {out} is not below a folder that `tokenmill serve` was started for: "
            f"{', '.join(str(folder) for folder in folders)}"
        )
