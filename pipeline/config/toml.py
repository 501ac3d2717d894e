"""Values as TOML, as one would write them by hand in one line.

Purpose: examples and settings that people copy into a file or behind `--set`.
Guarantee: `tomllib` reads back an equal value. Cost: none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_GROUPED_FROM = 10_000


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
