"""From TOML and `--set KEY=VALUE` to a Config.

Purpose: refuses an unknown key and names the nearest valid one; refuses a value out of bounds and repeats it.
Guarantee: one error reports all faults, each with the file or the `--set` it came from. It never repeats a password.
Cost: one read of the file.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic import ValidationError

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import faults, toml
from tokenmill.pipeline.config.places import beside
from tokenmill.pipeline.config.section import Section
from tokenmill.pipeline.config.settings import Config
from tokenmill.pipeline.config.sources import CREDENTIALS, WITHOUT_INPUT


def load(
    path: Path,
    overrides: Mapping[str, Any],
    model: type[Config],
    *,
    folder: Path | None = None,
    without_input: bool = False,
) -> Config:
    """Read a TOML file and apply `overrides` by dotted name: texts as typed after --set, or values. Raises ConfigError.

    `folder`: where relative paths of the file start; None for the current folder. Those of overrides always start there.
    `without_input`: it need not say what to collect, since it is only shown.
    """
    plain = toml.load(path)
    placed = plain if folder is None else beside(folder, plain)
    return parse(placed, where=str(path), overrides=overrides, model=model, without_input=without_input)


def parse(
    plain: Mapping[str, Any], *, where: str, overrides: Mapping[str, Any], model: type[Config], without_input: bool = False
) -> Config:
    """A `model` from the plain values of `where`, with `overrides` applied. Raises ConfigError that names every faulty
    setting.
    """
    try:
        values = copy.deepcopy(dict(plain))
    except RecursionError as error:
        raise ConfigError(f"{where}: its settings are nested too deeply") from error
    for key, text in overrides.items():
        _set(values, key, _value(key, text) if isinstance(text, str) else copy.deepcopy(text), model)
    try:
        return model.model_validate(values, context={WITHOUT_INPUT: without_input})
    except ValidationError as error:
        lines = (faults.explain(fault, _origin(fault, where, overrides), model) for fault in map(dict, error.errors()))
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def from_python(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name as `overrides` of `parse`, in which a string stays the string that it is.

    A string typed after --set is read as TOML first, so `2024` would become a number there.
    """
    wrong = [key for key in settings if not isinstance(key, str)]  # type: ignore[redundant-expr]  # as callers may give them
    if wrong:
        raise ConfigError(f"a setting is named by a string such as 'dedup.threshold', not by {wrong[0]!r}")
    return {key: toml.string(value) if isinstance(value, str) else _plain(value) for key, value in settings.items()}


def _plain(value: Any) -> Any:
    """Paths as strings, tuples as lists."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _value(key: str, text: str) -> Any:
    """`text` parsed as a TOML value, or `text` itself if it is not TOML."""
    try:
        text.encode()
        return tomllib.loads(f"value = {text}")["value"]
    except UnicodeEncodeError as error:
        raise ConfigError(f"--set {key}: {text!r} is not UTF-8") from error
    except (ValueError, RecursionError):
        return text


def _set(plain: Any, key: str, value: Any, model: Any) -> None:
    *path, last = key.split(".")
    for place, part in enumerate(path, 1):
        if isinstance(plain, list):
            # Tables with names, as in `collect.sources.web.extract`.
            named = {one["name"]: one for one in plain if isinstance(one, dict) and isinstance(one.get("name"), str)}
            if part not in named:
                raise ConfigError(f"--set {key}: {path[place - 2]} has none with the name {part!r}; there: {', '.join(named)}")
            plain = named[part]
        else:
            plain = plain.setdefault(part, {})
        if not isinstance(plain, dict) and not (isinstance(plain, list) and place < len(path)):
            raise ConfigError(f"--set {key}: {part} is not a section; `tokenmill config explain {part}` describes it")
        model = _type_of(model, part)
    if not isinstance(value, list) and get_origin(_type_of(model, last)) is tuple:
        value = [value]
    plain[last] = value


def _type_of(model: Any, name: str) -> Any:
    """The type of a setting of a section; None if `model` is no section or has no such setting."""
    field = model.model_fields.get(name) if isinstance(model, type) and issubclass(model, Section) else None
    return field.annotation if field is not None else None


def _origin(fault: Mapping[str, Any], where: str, overrides: Mapping[str, Any]) -> str:
    """Where the faulty setting comes from: an override, or `where`, which overrides may have changed in part."""
    # A missing setting has no place of its own: its section is the place.
    place = tuple(str(part) for part in (fault["loc"][:-1] if fault["type"] == "missing" else fault["loc"]))
    inside = []
    for key, text in overrides.items():
        path = tuple(key.split("."))
        if place[: len(path)] == path:
            shown = str(text) if len(str(text)) <= faults.LONG else f"{str(text)[: faults.LONG]}..."
            return f"--set {key}" if CREDENTIALS.search(str(text)) else f"--set {key}={shown}"
        if path[: len(place)] == place:
            inside.append(f"--set {key}")
    return f"{where} with {', '.join(inside)}" if inside else where
