"""Draws the answer of `tokenmill config explain`.

Guarantee: drawing only. Lines are wrapped between words, at any width. Cost: none.
"""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from tokenmill.flows import presets
from tokenmill.pipeline.config import lookup, toml
from tokenmill.pipeline.config.describe import Setting, Table
from tokenmill.pipeline.stages.explain import Explained
from tokenmill.pipeline.stages.show import about, of_recipes

INDENT, LEAST = 2, 20
"""Columns before a line, and the least that a line is wrapped to."""


def show_explanation(answer: Explained, console: Console) -> None:
    """Draw settings one by one, or tables with one line for each setting."""
    for number, setting in enumerate(answer.settings):
        _setting(setting, console, first=not number)
    for number, table in enumerate(answer.tables):
        if number:
            console.print()
        _table(table, console, short=not answer.tables[0].path)
    if answer.tables:
        console.print()
        _line("`tokenmill config explain NAME` explains a section or a setting.", console, indent=0)


def _setting(setting: Setting, console: Console, *, first: bool) -> None:
    if not first:
        console.print()
    of = f' of a source with kind = "{setting.source_kind}"' if setting.source_kind else ""
    console.print(Text(f"{setting.name}{of}", style="bold"))
    _line(setting.sentence, console)
    _line(about(setting), console)
    values = {f"recipe {name}": value for name, value in of_recipes(setting).items()} | _of_presets(setting)
    if values:
        _line("Values: " + ", ".join(f"{name} {toml.value(value)}" for name, value in values.items()), console)
    value = next(iter(of_recipes(setting).values()), setting.example)
    console.print()
    # Not wrapped, so that they can be copied.
    for line in (lookup.as_argument(setting, value), "", *lookup.block(setting, value)):
        console.print(Text(f"{' ' * INDENT if line else ''}{line}"))


def _of_presets(setting: Setting) -> dict[str, object]:
    """The values that presets give a setting, by preset."""
    if len(setting.table) != 1:
        return {}
    found = {name: presets.written(name).get(setting.table[0], {}).get(setting.key) for name in presets.names()}
    return {f"preset {name}": value for name, value in found.items() if value not in (None, [])}


def _table(table: Table, console: Console, *, short: bool) -> None:
    kind = f' with kind = "{table.source_kind}"' if table.source_kind else ""
    name = ".".join(table.path) or "at the top of the file"
    console.print(Text(f"{name}{kind}", style="bold"))
    _line(table.sentence, console)
    if short:
        _line(", ".join(one.key for one in table.settings), console)
        return
    for one in table.settings:
        console.print()
        console.print(Text(f"{' ' * INDENT}{one.key}", style="bold"))
        _line(one.sentence, console, indent=2 * INDENT)
        _line(about(one), console, indent=2 * INDENT)


def _line(text: str, console: Console, *, indent: int = INDENT) -> None:
    width, before = max(console.width, LEAST), " " * indent
    for line in textwrap.wrap(text, width, initial_indent=before, subsequent_indent=before, break_on_hyphens=False):
        console.print(Text(line))
