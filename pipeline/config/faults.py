"""What is wrong with a config, in words, and what to write instead.

Purpose: one line for each fault that the types find: the place, the value, what is accepted, and an example that works.
Guarantee: no line repeats a password. Cost: none until there is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokenmill.pipeline.config import lookup
from tokenmill.pipeline.config.describe import ANY, Setting, Table, tables
from tokenmill.pipeline.config.section import Section
from tokenmill.pipeline.config.sources import CREDENTIALS

KINDS = ("files", "dataset", "installed", "datatrove")
"""The kinds of sources. Types put them into the place of a fault."""
NO_TABLE = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
"""What pydantic calls a value where a table should stand."""
LONG = 100
"""Characters of a wrong value that are shown."""
Writer = Callable[[Setting, Any], str]


def explain(fault: Mapping[str, Any], where: str, model: type[Section]) -> str:
    """One fault that pydantic found at `where`: a file, or `--set NAME=VALUE`."""
    place = tuple(part for part in fault["loc"] if not (part in KINDS and fault["loc"][:2] == ("collect", "sources")))
    name = ".".join(map(str, place))
    kind = next((str(part) for part in fault["loc"][2:] if part in KINDS), "") if place[:2] == ("collect", "sources") else ""
    given = None if CREDENTIALS.search(repr(fault["input"])) else fault["input"]
    how: Writer = lookup.as_argument if "--set" in where else lookup.as_toml
    if fault["type"] == "extra_forbidden":
        return f"{where}: unknown setting {name}; {_instead(place, kind, given, how, model)}"
    if fault["type"] == "union_tag_invalid":
        return f"{where}: {name}.kind: there is no such kind of source; {lookup.hint(str(fault['ctx']['tag']), KINDS)}"
    if fault["type"] == "value_error":
        return f"{where}: {f'{name}: ' if name else ''}{fault['msg'].removeprefix('Value error, ')}"
    inside = [one for one in lookup.tables_at(name, model) if one.source_kind in (kind, KINDS[0]) and one.settings]
    if inside and fault["type"] in NO_TABLE:
        return f"{where}: {name} is a section; set one of its settings, for example {how(*_shown(inside[0], given))}"
    if inside and inside[0].many:
        return f"{where}: {name} is a list of tables: write [[{name}]] above each, or {how(*_shown(inside[0], {}))}"
    setting = _setting_at(name, kind, model)
    if setting is None:
        return f"{where}: {f'{name}: ' if name else ''}{fault['msg']}{_given(given)}"
    written = how(setting, lookup.example(setting, given))
    if fault["type"] == "missing":
        return f"{where}: {name} is missing; for example {written}"
    if setting.is_table and place[-1] != setting.key:
        # What stands under a name of the user's has bounds of its own, which pydantic names.
        return f"{where}: {name}: {fault['msg']}{_given(given)}; for example {written}"
    # Without what pydantic adds for the alternative of a type, or for an entry of a list.
    name = name[: name.rindex(setting.key) + len(setting.key)]
    near = lookup.near(str(given), setting.choices)
    hint = f"for example {written}" if near is None else f"did you mean {how(setting, lookup.example(setting, near))}?"
    return f"{where}: {name}: must be {setting.accepted}{_given(given)}; {hint}"


def _given(value: Any) -> str:
    shown = repr(value)
    return "" if value is None else f" (given: {shown if len(shown) <= LONG else f'{shown[:LONG]}...'})"


def _setting_at(name: str, kind: str, model: type[Section]) -> Setting | None:
    """The setting at a place of pydantic's, which may end in the alternative of a type, or in a key of a table."""
    while name:
        for setting in lookup.settings_at(name, model):
            if setting.source_kind == kind:
                return setting
        name = name.rpartition(".")[0]
    return None


def _instead(place: tuple[Any, ...], kind: str, given: Any, how: Writer, model: type[Section]) -> str:
    """What to write instead of a setting that is not known at its place."""
    key = str(place[-1])
    around = tuple(str(part) for part in place[:-1] if not isinstance(part, int))
    known = [one for table in tables(model) if table.source_kind == kind and _is_at(table, around) for one in table.settings]
    below = {
        one.path[len(around)]: one for one in reversed(tables(model)) if len(one.path) > len(around) and _below(one, around)
    }
    here = [*(one.key for one in known), *below]
    near = lookup.near(key, here, lookup.ALMOST)
    others = [one for one in lookup.elsewhere(key, model, of_sources=bool(kind)) if one not in known]
    if near is None and others:
        return _misplaced(key, others, kind, given, how)
    near = near or lookup.near(key, here)
    if near is not None:
        setting = next((one for one in known if one.key == near), None)
        shown = _shown(below[near], given) if setting is None else (setting, lookup.example(setting, given))
        return f"did you mean {near}? For example {how(*shown)}"
    deeper = next((one for one in tables(model) if key in one.path[1:]), None)
    if deeper is not None:
        return f"it stands in [{deeper.path[0]}]: for example {how(*_shown(deeper, given))}"
    # Below a name of the user's, the full name is always spelt like that of the settings there.
    own = any(ANY in one.path for one in tables(model) if _is_at(one, around))
    far = [name for name in lookup.suggested(".".join((*around, key)), model) if name not in (".".join(around), key)]
    if far and not own:
        return f"did you mean {far[0]}? `tokenmill config explain {far[0]}` describes it"
    return f"known here: {', '.join(sorted(here))}"


def _misplaced(key: str, others: Sequence[Setting], kind: str, given: Any, how: Writer) -> str:
    """What to say of a setting that another section or another kind of source has."""
    owner = others[0]
    if kind and owner.source_kind:
        return f'it belongs to a source with kind = "{owner.source_kind}"; write that kind, or leave {key} out'
    if not owner.source_kind:
        owners = " and ".join(dict.fromkeys(f"[{'.'.join(one.table)}]" for one in others))
        return f"it belongs to {owners}: for example {', or '.join(how(one, lookup.example(one, given)) for one in others[:2])}"
    value = lookup.example(owner, given)
    option = f"`--text-field {value}` of `build`, or " if key == "text_field" else ""
    return f"it belongs to a source: {option}{how(owner, value)}"


def _shown(table: Table, given: Any) -> tuple[Setting, Any]:
    """A setting of a table to show as an example: one that the user named in it, one that takes what was given, or another."""
    named = given if isinstance(given, Mapping) else {}
    settings = [one for one in table.settings if one.key not in ("kind", "name")] or list(table.settings)
    for setting in settings:
        if setting.key in named:
            return setting, lookup.example(setting, named[setting.key])
    taking = (one for one in settings if not named and lookup.example(one, given) != one.example)
    shown = next(taking, settings[0])
    return shown, lookup.example(shown, given)


def _is_at(table: Table, path: tuple[str, ...]) -> bool:
    return _below(table, path) and len(table.path) == len(path)


def _below(table: Table, path: tuple[str, ...]) -> bool:
    """Whether a table stands at `path` or inside of it."""
    return len(table.path) >= len(path) and all(
        mine in (one, ANY) for mine, one in zip(table.path[: len(path)], path, strict=True)
    )
