"""The settings that come with tokenmill, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import ownership
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CONFIG
from tokenmill.pipeline.stages.settings import load

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def name_of(config: str) -> str:
    """The name that a corpus is called by for its config: that of the preset, or of the TOML file without `.toml`."""
    return Path(config).stem


def made_by(config: str, root: Path) -> str | None:
    """The name that a build of `config` in the folder `root` goes by; None for the settings in the corpus itself."""
    return None if Path(config).resolve() == (root / CONFIG).resolve() else name_of(config)


def resolve(name: str, settings: Mapping[str, Any]) -> Config:
    """The config of a preset or of a TOML file, with `settings` as overrides. Raises ConfigError.

    Relative paths in a TOML file start at its folder; those in `settings` start at the current one. The `config.toml` of a
    corpus has the paths as its build saw them, so these start at the current folder too.
    """
    if name in names():
        return load(FOLDER / f"{name}.toml", settings)
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        recorded = path.name == CONFIG and ownership.is_ours(path.parent)
        return load(path, settings, folder=None if recorded else path.parent)
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"presets: {', '.join(names())}"
    raise ConfigError(f"{name!r} is neither a preset nor a .toml file; {hint}")
