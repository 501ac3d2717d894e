"""The reference of settings, from the classes that check them.

Purpose: one page with every setting of a corpus and of a file of schedules: what it does, what it accepts, its default, and its
value in named recipes. The presets stand below, as they are.
Guarantee: nothing is written down twice. Cost: 20 ms.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tokenmill.flows import presets
from tokenmill.pipeline.config import describe, toml
from tokenmill.pipeline.config.describe import Setting, Table
from tokenmill.pipeline.stages import table as stages
from tokenmill.pipeline.stages.settings import LAST, config_type
from tokenmill.pipeline.stages.show import about, of_recipes

INTRODUCTION = """# Settings

Every setting of a TOML file, by table. `--set section.key=value` changes one on the command line. `tokenmill config explain
section.key` says the same about one setting, and `tokenmill config show my.toml` prints all of them with their values.
"""
RECIPES = "recipe"
"""The setting that names a recipe; its own value in a recipe says nothing."""


def page() -> str:
    """The page as Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield INTRODUCTION
    tables = describe.tables(config_type(stages.STAGES))
    at_top = [table for table in tables if not table.path]
    ordered = sorted(tables, key=lambda table: LAST.index(table.path[0]) + 1 if table.path and table.path[0] in LAST else 0)
    for section, group in itertools.groupby([*at_top, *(one for one in ordered if one.path)], key=lambda one: one.path[:1]):
        yield f"## {section[0] if section else 'At the top of the file'}\n"
        for table in group:
            yield from _table(table)
    yield "## Presets\n\nWhat a preset does not say has its default.\n"
    for name in presets.names():
        written = (presets.FOLDER / f"{name}.toml").read_text(encoding="utf-8")
        yield f"### {name}\n\n```toml\n{written}```\n"


def _table(table: Table) -> Iterator[str]:
    if len(table.path) > 1:
        name = ".".join(table.path)
        of = f', kind = "{table.source_kind}"' if table.source_kind else ""
        yield f"### {f'[[{name}]]' if table.many else f'[{name}]'}{of}\n"
    if table.path and table.sentence:
        yield f"{table.sentence}\n"
    if table.settings:
        yield "| setting | what it does |\n|---|---|"
        yield from (_row(setting) for setting in table.settings)
        yield ""


def _row(setting: Setting) -> str:
    values = of_recipes(setting) if setting.key != RECIPES else {}
    recipes = f" In recipes: {', '.join(f'`{name}` {toml.value(value)}' for name, value in values.items())}." if values else ""
    words = f"{setting.sentence} *{about(setting)}*{recipes}"
    return f"| `{setting.key}` | {words.replace('|', chr(92) + '|')} |"
