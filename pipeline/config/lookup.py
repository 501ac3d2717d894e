"""Finds settings by name, by a part of a name, or by a misspelt one, and writes examples of them.

Purpose: `config explain`, and what error messages say to write instead.
Guarantee: an example that is given here is a valid setting. Cost: none.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.config import describe, toml
from tokenmill.pipeline.config.describe import ANY, Setting, Table
from tokenmill.pipeline.config.section import Section
from tokenmill.pipeline.config.settings import Config

NEAR, ALMOST = 0.6, 0.85
"""Similarity of spelling, as difflib measures it, from which on a name is suggested, or is taken for a slip."""
_NAMED: Mapping[tuple[str, ...], str] = {("quality", "models", ANY): "edu", ("urls", "lists", ANY): "adult"}
"""Names to put for `ANY` in examples."""


def parts(name: str) -> tuple[str, ...]:
    """The names in a dotted one, without the numbers of list entries: collect.sources.0.name."""
    return tuple(part for part in name.split(".") if not part.isdigit())


def settings_at(name: str, model: type[Section]) -> list[Setting]:
    """The settings of that full name; more than one where several kinds of sources have it."""
    return [one for one in describe.settings(model) if _fits((*one.table, one.key), parts(name))]


def tables_at(name: str, model: type[Section]) -> list[Table]:
    """The tables of that full name, each followed by those inside it."""
    asked = parts(name)
    return [one for one in describe.tables(model) if one.path and _fits(one.path[: len(asked)], asked)]


def elsewhere(key: str, model: type[Section], *, of_sources: bool = False) -> list[Setting]:
    """The settings called `key`, wherever they stand: those of sections before those of sources, or the other way round."""
    found = [one for one in describe.settings(model) if one.key == key]
    return [one for one in found if bool(one.source_kind) == of_sources] or found


def suggested(name: str, model: type[Section], most: int = 3) -> list[str]:
    """The full names that are spelt most like `name`, or whose last part is."""
    names = list(dict.fromkeys([one.name for one in describe.settings(model)] + _table_names(model)))
    key = name.rpartition(".")[2]
    by_key = {one.rpartition(".")[2]: one for one in reversed(names)}
    found = difflib.get_close_matches(name, names, n=most, cutoff=NEAR)
    found += [by_key[near] for near in difflib.get_close_matches(key, by_key, n=most, cutoff=NEAR)]
    return list(dict.fromkeys(found))[:most]


def near(word: str, known: Sequence[str], cutoff: float = NEAR) -> str | None:
    """The known word that is spelt most like `word`; None if none is."""
    return spelling.nearest(word.lower(), known, cutoff)


def hint(word: str, known: Sequence[str], title: str = "known") -> str:
    """End of a message: `did you mean NEAR?`, or all names, such as `known: a, b`."""
    return spelling.hint(word.lower(), known, title, NEAR)


def as_argument(setting: Setting, value: Any) -> str:
    """A setting as `--set` takes it. A setting of a source is written with all that the source needs."""
    if setting.source_kind:
        return toml.argument("collect.sources", [_source(setting, value)])
    return toml.argument(_named(setting), value)


def as_toml(setting: Setting, value: Any) -> str:
    """A setting as it stands in a file, in one line."""
    if setting.source_kind:
        return f"sources = {toml.value([_source(setting, value)])} in [collect]"
    line, table = f"{toml.key(setting.key)} = {toml.value(value)}", _named(setting).rpartition(".")[0]
    return f"{line} in [{table}]" if table else f"{line} at the top of the file"


def block(setting: Setting, value: Any) -> list[str]:
    """A setting as it stands in a file, below the header of its table."""
    if setting.source_kind:
        lines = [f"{name} = {toml.value(one)}" for name, one in _source(setting, value).items()]
        return ["[[collect.sources]]", *lines]
    table = _named(setting).rpartition(".")[0]
    return [*([f"[{table}]"] if table else []), f"{toml.key(setting.key)} = {toml.value(value)}"]


def example(setting: Setting, given: Any = None) -> Any:
    """A value that may be written: `given` if it is one, alone or as the only entry of a list, else an example of ours."""
    for one in (given, [given]):
        if given not in (None, "") and accepts(setting, one):
            return one
    return setting.example


def accepts(setting: Setting, given: Any) -> bool:
    """Whether the type of a setting accepts a value."""
    try:
        found = TypeAdapter(setting.type).validate_python(given)
    except ValidationError:
        return False
    # No section takes one; the types of its settings alone do not say so.
    return not (isinstance(found, float) and not math.isfinite(found))


def _source(setting: Setting, value: Any) -> dict[str, Any]:
    table = next(one for one in describe.tables(Config) if one.many and one.source_kind == setting.source_kind)
    needed = {one.key: one.example for one in table.settings if one.required}
    kind = {} if setting.source_kind == "files" else {"kind": setting.source_kind}
    return {**kind, **needed, setting.key: value}


def _named(setting: Setting) -> str:
    chosen = _NAMED.get(setting.table, "mine")
    return ".".join((*(chosen if part == ANY else part for part in setting.table), setting.key))


def _fits(path: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    return len(path) == len(asked) and all(part in (ANY, one) for part, one in zip(path, asked, strict=True))


def _table_names(model: type[Section]) -> list[str]:
    return [".".join(one.path) for one in describe.tables(model) if one.path]
