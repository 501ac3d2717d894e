"""All settings of a corpus as TOML with comments, for people who look them up.

Purpose: `config show`. Above each setting stand its sentence, what it accepts and its default; below stands its value, or an
example that is commented out (`#path = "tokenizer.json"`) where it is not set.
Guarantee: a valid config with the settings of the one that is shown. The words come from the classes that check the settings.
Cost: 20 ms, once.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from tokenmill.pipeline.config import Config, describe, toml
from tokenmill.pipeline.config.describe import ANY, Setting, Table
from tokenmill.pipeline.stages import table as stages
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.settings import LAST, NOT_PUBLISHED, plain

WIDTH = 100
_EMPTY: tuple[Any, ...] = (None, (), [], {})


def explained(config: Config) -> str:
    """The settings of `config` with comments. The text ends without a newline."""
    values = plain(config, whole=True)
    lines: list[str] = []
    for table, header, given in _placed(describe.tables(type(config)), values):
        lines += _table(table, header, given, config)
    return "\n".join(lines).strip()


def _placed(tables: tuple[Table, ...], values: Mapping[str, Any]) -> Iterator[tuple[Table, str, Mapping[str, Any] | None]]:
    """The tables in the order of the work, wherever they stand: each with its header and its values; None where it stands
    nowhere."""
    behind = (*LAST, *NOT_PUBLISHED)
    places = {name: number for number, name in enumerate(behind, 1)}
    in_order = sorted(tables, key=lambda table: places.get("".join(table.path[:1]), 0))
    for path, group in itertools.groupby(in_order, key=lambda table: table.path):
        kinds = list(group)
        at: Any = values
        for name in path:
            at = at if name == ANY else at.get(name, {})
        if path[-1:] == (ANY,):
            named = [(kinds[0], ".".join(map(toml.key, (*path[:-1], name))), one) for name, one in at.items()]
            yield from named or [(kinds[0], ".".join(path), None)]
        elif kinds[0].many:
            # In their own order, which is that of their priority; behind them the kinds that are not there.
            by_kind = {table.source_kind: table for table in kinds}
            yield from ((by_kind[one["kind"]], ".".join(path), one) for one in at)
            there = {one["kind"] for one in at}
            yield from ((table, ".".join(path), None) for table in kinds if table.source_kind not in there)
        else:
            yield kinds[0], ".".join(path), at


def _table(table: Table, header: str, given: Mapping[str, Any] | None, config: Config) -> Iterator[str]:
    off = "" if given is not None else "#"
    kind = _stage_at(table.path[:1])
    # What unset settings of a stage's section stand for, where its kind can say so.
    meant = kind.effective(kind.settings(config)) if kind is not None else {}
    come_to = kind.comes_to(kind.settings(config)) if kind is not None and table.path == (kind.name,) else ""
    yield ""
    yield from _comment(table.sentence)
    yield from _comment(f"Here {come_to}." if come_to else "")
    if header:
        yield f"{off}[[{header}]]" if table.many else f"{off}[{header}]"
    for setting in table.settings:
        yield ""
        value = (given or {}).get(setting.key)
        unset = given is None or value is None or value == {}
        stands_for = meant.get(setting.key) if unset else None
        yield from _comment(setting.sentence)
        yield from _comment(about(setting, stands_for))
        yield f"{'#' if unset else ''}{setting.key} = {toml.value(_example(setting, stands_for) if unset else value)}"


def about(setting: Setting, meant: Any = None) -> str:
    """What a setting accepts and its default, in one sentence. meant: what it stands for where it is not set."""
    if setting.required:
        default = "it must be given"
    elif setting.default is None:
        default = "default: " + ("that of the recipe" if of_recipes(setting) else "not set")
        default += "" if meant is None else f", here {toml.value(meant)}"
    else:
        default = f"default: {toml.value(setting.default)}"
        default += f", for example {toml.value(setting.example)}" if setting.default in _EMPTY else ""
    return f"{setting.accepted[0].upper()}{setting.accepted[1:]}; {default}."


def _example(setting: Setting, meant: Any) -> Any:
    if meant not in _EMPTY:
        return meant
    return next(iter(of_recipes(setting).values()), setting.example)


def of_recipes(setting: Setting) -> dict[str, Any]:
    """The values of a setting in the named recipes of its stage, by recipe."""
    kind = _stage_at(setting.table)
    recipes = kind.recipes() if kind is not None else {}
    return {name: values[setting.key] for name, values in recipes.items() if setting.key in values}


def _stage_at(path: tuple[str, ...]) -> StageKind[Any] | None:
    """The stage whose section stands at `path`; None if none does."""
    return next((kind for kind in stages.STAGES if path == (kind.name,)), None)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False) if text else []
