"""The settings that come with tokenmill, by name."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, ownership
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import AnySource, Config, DatatroveSource, InstalledSource, fit, lookup, toml
from tokenmill.pipeline.corpus import CONFIG
from tokenmill.pipeline.stages.settings import load, parse

FOLDER = Path(__file__).parent
MOST_NAMES = 10
"""Names that a message lists."""


def names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def written(name: str) -> dict[str, Any]:
    """What the file of a preset says, as plain values."""
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def name_of(config: str) -> str:
    """The name that a corpus is called by for its config: that of the preset, or of the TOML file without `.toml`."""
    return Path(config).stem


def made_by(config: str, root: Path) -> str | None:
    """The name that a build of `config` in the folder `root` goes by; None for the settings in the corpus itself."""
    return None if Path(config).resolve() == (root / CONFIG).resolve() else name_of(config)


def resolve(name: str, settings: Mapping[str, Any], *, without_input: bool = False) -> Config:
    """The config of a preset or of a TOML file, with `settings` as overrides. Raises ConfigError.

    Relative paths in a TOML file start at its folder; those in `settings` start at the current one. The `config.toml` of a
    corpus has the paths as its build saw them, so these start at the current folder too. `without_input`: it need not say what
    to collect, since it is only shown.
    """
    found = _resolve(name, settings, without_input)
    if not without_input:
        fit.require_weights(found)
    return found


def _resolve(name: str, settings: Mapping[str, Any], without_input: bool) -> Config:
    if name in names():
        return parse(written(name), where=f"preset {name}", overrides=settings, without_input=without_input)
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        recorded = path.name == CONFIG and ownership.is_ours(path.parent)
        return load(path, settings, folder=None if recorded else path.parent, without_input=without_input)
    raise ConfigError(_no_config(name, path))


def _no_config(name: str, path: Path) -> str:
    """What to say of a name that is neither a preset nor a TOML file, and what to write instead."""
    if files.marker(path) is not None:
        return f"{name} is a corpus, not a config; give the preset or the TOML file that it is built from, and --out {name}"
    if path.exists():
        argument = toml.argument("collect.paths", name)
        return f"{name} is neither a preset nor a .toml file; to read it as input: tokenmill build text {argument}"
    beside = [str(one) for one in sorted(path.parent.glob("*.toml"))] if path.parent.is_dir() else []
    near = lookup.near(path.stem, names()) or lookup.near(name, beside) or lookup.near(f"{name}.toml", beside)
    known = f"known here: {', '.join([*names(), *beside][:MOST_NAMES])}"
    hint = f"did you mean {near}? Write: tokenmill build {shlex.quote(near)}" if near else known
    what = "there is no such file" if path.suffix == ".toml" else "it is neither a preset nor a .toml file"
    return f"{name!r}: {what}; {hint}"


def with_text_field(name: str, settings: Mapping[str, Any], column: str) -> dict[str, Any]:
    """`settings`, and with them the column with the text for every source that names none itself. Raises ConfigError.

    `collect.paths` becomes a source in the list, which alone can have a column.
    """
    whole = resolve(name, settings).collect
    made = [
        source.model_dump(exclude_unset=True) | {"kind": source.kind, "name": source.name} | _column(source, column)
        for source in whole.all_sources
    ]
    return {**settings, "collect.paths": "[]", "collect.sources": toml.value(made)}


def _column(source: AnySource, column: str) -> dict[str, Any]:
    if isinstance(source, DatatroveSource):
        return {"arguments": {"text_key": column, **source.arguments}}
    named = isinstance(source, InstalledSource) or "text_field" in source.model_fields_set
    return {} if named else {"text_field": column}
