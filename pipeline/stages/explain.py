"""One setting, or the settings of a section, for people who look them up by name.

Purpose: `config explain`. A name that does not exist is answered with those that are spelt like it.
Guarantee: the words come from the classes that check the settings. Cost: 20 ms, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import describe, lookup
from tokenmill.pipeline.config.describe import Setting, Table
from tokenmill.pipeline.stages import table as stages
from tokenmill.pipeline.stages.settings import config_type


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What a name stands for: settings (several kinds of sources may share one name), or else tables of settings."""

    settings: Sequence[Setting] = ()
    tables: Sequence[Table] = ()


def explained(name: str | None) -> Explained:
    """What `name` stands for; without a name, all tables. Raises ConfigError that names the nearest ones."""
    model = config_type(stages.STAGES)
    if name is None:
        return Explained(tables=describe.tables(model))
    asked = name.strip().strip("[]")
    found = lookup.settings_at(asked, model)
    if found:
        return Explained(settings=found)
    # What stands under a name of the user's, such as train.weights.web.
    table = [one for one in lookup.settings_at(asked.rpartition(".")[0], model) if one.kind.startswith("a table")]
    if table:
        return Explained(settings=table)
    inside = lookup.tables_at(asked, model) or [one for one in describe.tables(model) if asked in one.path[1:]]
    if inside:
        return Explained(tables=inside)
    others = lookup.elsewhere(asked.rpartition(".")[2], model)
    if "." not in asked and len({one.name for one in others}) == 1:
        return Explained(settings=others)
    near = list(dict.fromkeys(one.name for one in others)) or lookup.suggested(asked, model)
    if near:
        hint = f"did you mean {' or '.join(near)}? Try: tokenmill config explain {near[0]}"
    else:
        hint = "`tokenmill config explain` lists the sections, and `tokenmill config explain dedup` the settings of one"
    raise ConfigError(f"there is no setting {name!r}; {hint}")
