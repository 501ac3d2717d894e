"""Relative paths of a config, as seen from the folder of its file.

Purpose: a config means the same files wherever the command runs: by hand, on a schedule, on a worker elsewhere.
Guarantee: a path that is absolute, an address, or the name of a data set on a hub stays as it is; so does every path of a file
in the current folder, which is given without a folder. Cost: none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def beside(folder: Path, plain: Mapping[str, Any]) -> dict[str, Any]:
    """The plain settings of a file in `folder`, with relative paths joined to it. What is no setting stays for the checks."""
    found = dict(plain)
    _in(found, "collect", lambda collect: _of_collect(folder, collect))
    _in(found, "tokenizer", lambda section: _joined(folder, section, "path"))
    _in(found, "language", lambda section: _of_language(folder, section))
    _in(found, "personal", lambda section: _joined(folder, section, "key_file"))
    _in(found, "train", lambda section: _joined(folder, section, "examples"))
    _in(found, "quality", lambda quality: _in(quality, "models", lambda models: _of_named(folder, models, "path")))
    _in(found, "urls", lambda urls: _in(urls, "lists", lambda lists: _of_named(folder, lists, "paths")))
    _in(found, "decontamination", lambda section: _in(section, "sets", lambda sets: _of_named(folder, sets, "path")))
    return found


def override_beside(folder: Path, key: str, value: Any) -> Any:
    """The value of one setting by its dotted name, likewise."""
    nested: Any = value
    for part in reversed(key.split(".")):
        nested = {part: nested}
    nested = beside(folder, nested)
    for part in key.split("."):
        nested = nested[part]
    return nested


def _in(table: dict[str, Any], name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a copy of a section, if there is one."""
    if isinstance(table.get(name), dict):
        table[name] = dict(table[name])
        change(table[name])


def _of_collect(folder: Path, collect: dict[str, Any]) -> None:
    _joined(folder, collect, "paths")
    if isinstance(collect.get("sources"), list):
        collect["sources"] = [dict(source) if isinstance(source, dict) else source for source in collect["sources"]]
        for source in collect["sources"]:
            if isinstance(source, dict):
                _joined(folder, source, "paths")
                # With a revision, the path is a name on a hub.
                if source.get("revision") is None:
                    _joined(folder, source, "path")


def _of_named(folder: Path, tables: dict[str, Any], setting: str) -> None:
    """Tables by name, each with a path, or several, in one setting."""
    for name in tables:
        _in(tables, name, lambda table: _joined(folder, table, setting))


def _of_language(folder: Path, section: dict[str, Any]) -> None:
    _joined(folder, section, "model")
    if section.get("second") != "cld2":  # a library, not a file
        _joined(folder, section, "second")


def _joined(folder: Path, table: dict[str, Any], name: str) -> None:
    value = table.get(name)
    if isinstance(value, str):
        table[name] = _path(folder, value)
    elif isinstance(value, list | tuple):
        table[name] = [_path(folder, one) if isinstance(one, str) else one for one in value]


def _path(folder: Path, path: str) -> str:
    plain = not path.strip() or "://" in path or path.startswith("~") or Path(path).is_absolute()
    return path if plain or folder == Path() else str(folder / path)
