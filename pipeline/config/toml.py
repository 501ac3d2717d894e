"""Values out of a TOML file, and as TOML, as one would write them by hand in one line.

Purpose: files of settings; examples and settings that people copy into one or behind `--set`.
Guarantee: what is written is read back as an equal value. Cost: none.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_GROUPED_FROM = 10_000


def load(path: Path) -> dict[str, Any]:
    """The plain values of a TOML file. Raises ConfigError."""
    try:
        with open(path, "rb") as handle:
            return tomllib.load(handle)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits is a plain ValueError, and nesting is bounded by Python's stack.
        raise ConfigError(f"{path}: is not TOML ({str(error)[:200]})") from error


def key(name: str) -> str:
    """A name as a key."""
    return name if _BARE.fullmatch(name) else string(name)


def string(text: str) -> str:
    """A basic string. JSON escapes all that TOML wants escaped, but for U+007F."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(given: Any) -> str:
    """A string, number, truth value, list or table. Large whole numbers are grouped by thousands: 100_000."""
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int):
        return f"{given:_}" if abs(given) >= _GROUPED_FROM else str(given)
    if isinstance(given, float):
        return repr(given)
    if isinstance(given, list | tuple):
        return f"[{', '.join(map(value, given))}]"
    if isinstance(given, Mapping):
        pairs = ", ".join(f"{key(str(name))} = {value(one)}" for name, one in given.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return string(str(given))


def argument(name: str, given: Any) -> str:
    """`--set name=value` for a shell: quoted if a shell would take it apart."""
    plain = isinstance(given, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_./@:-]*", given) and given not in ("true", "false")
    pair = f"{name}={given if plain else value(given).replace('_', '') if isinstance(given, int) else value(given)}"
    return f"--set {pair}" if re.fullmatch(r"[A-Za-z0-9_./@:=+-]+", pair) else "--set '" + pair.replace("'", "'\\''") + "'"
