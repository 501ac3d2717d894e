"""Reads the builds of a SCHEDULES.toml, for `tokenmill serve` and `tokenmill deploy`.

Guarantee: whatever can be known to be wrong before a server starts is refused, one line for each fault: unknown presets and
settings, times that never come or come every second, two builds that would undo one another. Relative paths start at the folder
of the file. Cost: none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from prefect._vendor.croniter.croniter import CroniterBadDateError, croniter  # computes its times
from prefect.client.schemas.schedules import CronSchedule
from pydantic import Field, StrictInt, ValidationError, field_validator

from tokenmill.flows.notify import Notify
from tokenmill.flows.paths import FolderText, PathText
from tokenmill.flows.presets import names, resolve
from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Section, toml
from tokenmill.pipeline.config.places import override_beside

BANNED = "/%&<>"
"""Characters that Prefect allows in no name of a deployment."""
NONE = 'names no build; add one: [[build]], then name = "nightly", config = "docs", out = "corpora/docs", cron = "0 3 * * *"'
EXAMPLE = {"name": '"nightly"', "config": '"docs"', "out": '"corpora/docs"'}


class Behaviour(Section):
    """How the runs of a scheduled build behave. It travels to each run as one parameter of the flow."""

    name: str = Field(min_length=1, max_length=200)
    timezone: str = Field(default="UTC", min_length=1)
    """Zone of the times, also of those in the names of runs, as IANA names it."""
    on_overlap: Literal["wait", "skip"] = "wait"
    """What a run does while somebody else builds the same corpus."""
    retries: int = Field(default=0, ge=0, le=100)
    """How often a run that failed or was killed is run again. It goes on where it was."""
    notify: Notify | None = None
    """Who is told, and of what. Default: as the section `notify` of the file says."""

    @field_validator("name")
    @classmethod
    def _showable(cls, name: str) -> str:
        if not name.isprintable() or set(name) & set(BANNED) or name != name.strip():
            raise ValueError(
                f"a name must be printable, must hold none of {' '.join(BANNED)}, and must not begin or end in a space"
            )
        return name

    @field_validator("timezone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            CronSchedule(cron="0 0 * * *", timezone=zone)
        except ValidationError as error:
            raise ValueError(f"{zone!r} is no timezone; write for example Europe/Berlin or UTC") from error
        return zone


class _Build(Behaviour):
    """One scheduled build as the file says it."""

    config: PathText
    out: FolderText
    cron: tuple[str, ...] = ()
    """When it runs. Without times it runs only when somebody starts it."""
    workers: StrictInt = Field(default=1, ge=1)
    settings: Mapping[str, Any] = {}

    @field_validator("cron", mode="before")
    @classmethod
    def _several(cls, cron: Any) -> Any:
        several = (cron,) if isinstance(cron, str) else cron
        if not isinstance(several, list | tuple) or not all(isinstance(one, str) for one in several):
            raise ValueError('write it as a string, for example "0 3 * * *", or as a list of strings')
        return tuple(dict.fromkeys(several))  # times that stand there twice would fire twice

    @field_validator("cron")
    @classmethod
    def _times(cls, cron: tuple[str, ...]) -> tuple[str, ...]:
        for one in cron:
            _check_cron(one)
        return cron

    @field_validator("settings", mode="before")
    @classmethod
    def _flat(cls, settings: Any) -> Any:
        """The settings by their dotted names, also those that stand in a table of their section."""
        if not isinstance(settings, dict):
            raise ValueError('write a table, for example settings = { "quality.min_words" = 40 }')
        found: dict[str, Any] = {}
        for key, value in settings.items():
            found.update({f"{key}.{name}": one for name, one in value.items()} if _is_section(key, value) else {key: value})
        for key, value in found.items():
            try:
                json.dumps(value)
            except TypeError as error:
                raise ValueError(f"{key} is a date or a time, which no setting takes") from error
        return found


def _is_section(key: str, value: Any) -> bool:
    return isinstance(value, dict) and "." not in key


class Schedule(_Build):
    """One scheduled build with absolute paths, and with what the file says for all its builds. `read` makes it."""

    file: str
    """The SCHEDULES.toml that it stands in."""

    @property
    def behaviour(self) -> Behaviour:
        """What the runs need to know of the schedule."""
        return Behaviour.model_validate({name: getattr(self, name) for name in Behaviour.model_fields})

    def overrides(self) -> dict[str, str]:
        """The settings as strings, in the form that `--set` takes."""
        return {key: value if isinstance(value, str) else json.dumps(value) for key, value in self.settings.items()}


class _Schedules(Section):
    build: tuple[_Build, ...] = Field(min_length=1)
    notify: Notify | None = None


def read(path: Path) -> tuple[Schedule, ...]:
    """The builds of a SCHEDULES.toml. Raises ConfigError with one line for each fault."""
    plain = toml.load(path)
    try:
        found = _Schedules.model_validate(plain)
    except ValidationError as error:
        # A list of builds that are all at fault is also called too short.
        empty = not plain.get("build")
        found_wrong = [fault for fault in error.errors() if empty or fault["type"] != "too_short" or len(fault["loc"]) > 1]
        raise ConfigError("\n".join(f"{path}: {_line(dict(fault), plain)}" for fault in found_wrong)) from error
    builds = tuple(_placed(one, found.notify, path) for one in found.build)
    faults = [*_at_odds(builds), *(fault for one in builds for fault in _faults(one))]
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(f"{path}: {fault}" for fault in faults)))
    return builds


def _check_cron(cron: str) -> None:
    fields = len(cron.split())
    if fields != 5 and not cron.startswith("@"):
        seconds = "; the sixth would stand for seconds" if fields == 6 else ""
        raise ValueError(f"{cron!r} has {fields} fields, not five (minute, hour, day, month, day of the week){seconds}")
    try:
        CronSchedule(cron=cron)
    except ValidationError as error:
        raise ValueError(f"{cron!r} is no cron expression; write for example 0 3 * * * for every day at 3:00") from error
    try:
        croniter(cron, datetime.now(UTC)).get_next()  # type: ignore[no-untyped-call]
    except CroniterBadDateError as error:
        raise ValueError(f"{cron!r} names a day that never comes") from error


def _placed(one: _Build, notify: Notify | None, path: Path) -> Schedule:
    folder = path.resolve().parent
    told = one.notify or notify
    is_file = one.config not in names() and (one.config.endswith(".toml") or (folder / one.config).exists())
    return Schedule.model_validate(
        {
            **{name: getattr(one, name) for name in _Build.model_fields},
            "config": str(folder / one.config) if is_file else one.config,
            "out": str((folder / one.out).resolve()),
            "settings": {key: override_beside(folder, key, value) for key, value in one.settings.items()},
            "notify": told.beside(folder) if told is not None else None,
            "file": str(path.resolve()),
        }
    )


def _at_odds(builds: Sequence[Schedule]) -> list[str]:
    """What contradicts itself between two builds."""
    faults = []
    for number, one in enumerate(builds):
        for other in builds[:number]:
            if one.name == other.name:
                faults.append(f"two builds are named {one.name!r}; give each its own name")
            same = (one.config, one.overrides()) == (other.config, other.overrides())
            if one.out == other.out and not same:
                faults.append(
                    f"builds {other.name!r} and {one.name!r} write to {one.out} with different settings, so that each would "
                    "undo the other; give each its own out"
                )
            inner, outer = sorted((one, other), key=lambda build: len(build.out), reverse=True)
            if inner.out != outer.out and Path(inner.out).is_relative_to(outer.out):
                faults.append(
                    f"build {inner.name!r} writes to {inner.out}, inside the corpus of {outer.name!r}; give it an out elsewhere"
                )
    return faults


def _faults(one: Schedule) -> list[str]:
    """What is wrong with one build."""
    faults = []
    try:
        resolve(one.config, one.overrides())
    except ConfigError as error:
        faults += [f"build {one.name!r}: {line}" for line in str(error).splitlines()]
    if one.notify is not None:
        try:
            one.notify.check()
        except ConfigError as error:
            faults.append(f"notify: {error}")
    return faults


def _line(fault: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    """One fault as one clear line."""
    place, kind = list(fault["loc"]), fault["type"]
    where = ""
    model: type[Section] = _Schedules
    if place == ["build"]:
        return NONE if kind in ("missing", "too_short") else "a build begins with [[build]], in two pairs of brackets"
    if place[:1] == ["build"] and len(place) > 1:
        given = plain["build"][place[1]]
        named = given.get("name") if isinstance(given, dict) else None
        where = f"build {named!r}: " if isinstance(named, str) else f"build {place[1] + 1}: "
        model, place = _Build, place[2:]
    if "notify" in place[:1]:
        where, model, place = f"{where}notify: ", Notify, place[1:]
    key = ".".join(str(part) for part in place)
    if kind == "missing":
        return f"{where}has no {key}; write for example {key} = {EXAMPLE.get(key, '...')}"
    if kind == "extra_forbidden":
        return f"{where}unknown setting {key}; {_nearest(key, model)}"
    if kind == "model_type":
        return f"{where or 'build: '}must be a table of settings"
    return f"{where}{key + ': ' if key else ''}{fault['msg'].removeprefix('Value error, ')}"


def _nearest(key: str, model: type[Section]) -> str:
    known = list(model.model_fields)
    return spelling.hint(key, known, "known here")
