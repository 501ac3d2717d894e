"""The settings that come with tokenmill, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.settings import load

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def resolve(name: str, settings: Mapping[str, Any]) -> Config:
    """The config of a preset or of a TOML file, with `settings` as overrides. Raises ConfigError."""
    if name in names():
        return load(FOLDER / f"{name}.toml", settings)
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return load(path, settings)
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"presets: {', '.join(names())}"
    raise ConfigError(f"{name!r} is neither a preset nor a .toml file; {hint}")
