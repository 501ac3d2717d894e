"""The card of a data set: which of a folder's files belong to a configuration and a split.

Purpose: the YAML at the top of README.md may name data files (`configs`); without that, names say which split a file is of, by
the rules of https://huggingface.co/docs/hub/datasets-file-names-and-splits.
Guarantee: a card can only choose among files that were listed in its own folder. What names another place (an absolute path,
"..", an address of any kind) is refused before anything is opened or asked for; nothing is fetched. YAML is read as plain
values.
Cost: one reading of at most `MOST_HEADER_BYTES`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenmill.pipeline.base.errors import ConfigError, InputError
from tokenmill.pipeline.collect.patterns import reached

README = "README.md"
OTHER_CARD = ".huggingface.yaml"
"""A second place where a data set on a hub may keep its configurations."""
MOST_HEADER_BYTES = 1 << 18
HEADER = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)", re.DOTALL)
ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:/|.*::")
"""An address, or a chain of them (`zip://a.csv::https://...`), as the `datasets` library understands names."""
ABOUT = frozenset({"config_name", "data_files", "data_dir", "default", "features", "version", "description", "drop_labels"})
"""Keys of a configuration that do not change how its files are read here."""
TRUE = ("true", "True", "TRUE", "yes", "on")
NO_DATA = frozenset({README, "config.json", "dataset_info.json", "dataset_infos.json", "dummy_data.zip", "dataset_dict.json"})
"""Files that belong to no split unless they are named."""
KEYWORDS = {
    "train": "train|training",
    "validation": "validation|valid|dev|val",
    "test": "test|testing|eval|evaluation",
}
SHARDED = re.compile(r"data/([^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]*")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One entry of `configs`. `files`: patterns by split, relative to the data set; None if names decide."""

    name: str
    default: bool
    folder: str
    files: Mapping[str, Sequence[str]] | None
    options: tuple[str, ...] = field(default=())
    """Other keys: settings of the library's readers."""


def configurations(text: str, where: str) -> list[Configuration]:
    """The configurations that a card states; `where` names it in messages. Raises InputError."""
    header = HEADER.match(text)
    return of_yaml(header[1], where) if header is not None else []


def of_yaml(text: str, where: str) -> list[Configuration]:
    """The configurations in a card's YAML. Raises InputError: it is not YAML, or it names files outside the data set."""
    import yaml  # type: ignore[import-untyped]

    if len(text) > MOST_HEADER_BYTES:
        raise InputError(f"{where}: its header has {len(text):,} characters, at most {MOST_HEADER_BYTES:,} are read")
    try:
        # Strings, lists and mappings, without tags, dates, numbers, and without merge keys, which can grow exponentially.
        plain = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: its header is not YAML ({type(error).__name__}); mend or remove it") from error
    stated = plain.get("configs") if isinstance(plain, dict) else None
    if not stated:
        return []
    if not isinstance(stated, list) or not all(isinstance(one, dict) for one in stated):
        raise InputError(f"{where}: `configs` is not a list of configurations")
    return [_configuration(one, where) for one in stated]


def chosen(found: Sequence[Configuration], config_name: str | None, where: str) -> Configuration | None:
    """The configuration to read; None if the card states none. Raises ConfigError."""
    if not found and config_name is None:
        return None
    names = [one.name for one in found]
    if config_name is None:
        defaults = [one for one in found if len(found) == 1 or one.name == "default" or one.default]
        if len(defaults) != 1:
            raise ConfigError(f"{where} has several configurations; set config_name to one of {_spoken(names)}")
        return defaults[0]
    if names.count(config_name) != 1:
        raise ConfigError(f"{where} has no configuration {config_name!r}; it has {_spoken(names)}")
    return found[names.index(config_name)]


def files_of(names: Sequence[str], configuration: Configuration | None, split: str, where: str) -> list[str]:
    """The names that belong to a split, each once, sorted as the patterns say. Raises ConfigError, InputError."""
    inside = {name: name for name in sorted(names)}
    if configuration is not None and configuration.folder:
        above = f"{configuration.folder}/"
        inside = {name.removeprefix(above): name for name in inside if name.startswith(above)}
    if configuration is not None and configuration.files is not None:
        splits = {name: list(_matching(inside, patterns)) for name, patterns in configuration.files.items()}
    else:
        splits = by_name([name for name in inside if name.rpartition("/")[2] not in NO_DATA])
    if split not in splits:
        raise ConfigError(f"{where} has no split {split!r}; it has {_spoken(splits)}")
    return list(dict.fromkeys(inside[name] for name in splits[split]))


def by_name(names: Sequence[str]) -> dict[str, list[str]]:
    """Files by the split that their names say; all are of `train` if none says one."""
    sharded: dict[str, list[str]] = {}
    for name in names:
        if (match := SHARDED.fullmatch(name)) is not None:
            sharded.setdefault(match[1], []).append(name)
    if sharded:
        return sharded
    in_folders: dict[str, list[str]] = {}
    in_names: dict[str, list[str]] = {}
    for split, words in KEYWORDS.items():
        folder = re.compile(rf"(?:^|[-._ 0-9])(?:{words})(?:[-._ 0-9]|$)")
        file = re.compile(rf"(?:^|[-._ 0-9])(?:{words})[-._ 0-9]")
        for name in names:
            *above, last = name.split("/")
            if any(folder.search(step) for step in above):
                in_folders.setdefault(split, []).append(name)
            if file.search(last):
                in_names.setdefault(split, []).append(name)
    return in_folders or in_names or ({"train": list(names)} if names else {})


def _configuration(plain: Mapping[str, Any], where: str) -> Configuration:
    name, folder, files = plain.get("config_name", "default"), plain.get("data_dir", ""), plain.get("data_files") or None
    if not isinstance(name, str) or not isinstance(folder, str):
        raise InputError(f"{where}: a configuration's `config_name` or `data_dir` is not a string")
    if isinstance(files, list) and files and all(isinstance(one, dict) for one in files):
        stated = [(one.get("split"), _list(one.get("path"))) for one in files]
    else:
        stated = [("train", _list(files))] if files is not None else []
    # Nothing but strings goes on: a few lines of aliases make a list that would fill the memory if it were printed.
    if not all(isinstance(one, str) for split, patterns in stated for one in (split, *patterns)):
        raise InputError(f"{where}: `data_files` of the configuration {name!r} are not names, or splits with paths")
    return Configuration(
        name=name,
        default=plain.get("default") in TRUE,
        folder=_confined(folder, where) if folder else "",
        files=None if files is None else {split: [_confined(one, where) for one in each] for split, each in stated},
        options=tuple(sorted(str(key) for key in plain.keys() - ABOUT)),
    )


def _spoken(names: Iterable[str]) -> str:
    """Names that data gave, for a message: without characters that a terminal obeys."""
    return ", ".join(ascii(name) for name in names) or "none"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _confined(pattern: str, where: str) -> str:
    """A pattern without its "." steps. Raises InputError if it leads out of the data set."""
    if ADDRESS.match(pattern):
        # An address may hold a password, so the message does not repeat it.
        raise InputError(f"{where} names an address as data; addresses are not fetched: download the files into the folder")
    steps = [step for step in pattern.split("/") if step not in ("", ".")]
    if pattern.startswith("/") or ".." in steps or "\0" in pattern:
        raise InputError(f"{where} names {pattern!a} as data, which is outside its folder; copy it there, and name it there")
    return "/".join(steps)


def _matching(names: Mapping[str, str], patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        parts = pattern.split("/")
        for name in names:
            steps = name.split("/")
            asked = steps[-1] not in NO_DATA or parts[-1] == steps[-1]
            # As for the library, folders that begin with two underscores have to be named.
            special = sum(step.startswith("__") for step in steps[:-1]) == sum(part.startswith("__") for part in parts[:-1])
            if asked and special and len(steps) in reached(parts, steps):
                yield name
