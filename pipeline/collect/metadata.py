"""What of a record goes into the metadata of its document.

Purpose: records come with further columns, of any size and kind; documents carry those that are small.
Guarantee: what is kept has a form in JSON and in UTF-8; all else is named.
Cost: one encoding of lists and objects.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

FIELD_CHARACTERS = 200
"""A further column of a record goes into the metadata if it is a number, a truth value, or a string of at most this many
printable characters."""
NESTED_CHARACTERS = 2_000
"""A list or an object goes into the metadata if its JSON text has at most this many characters."""
ENCODE = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
"""Canonical JSON. Made once, because that takes as long as writing the metadata of one record."""


def fields(row: Mapping[str, Any], *without: str) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """The columns of a record, except those in `without`, that fit into the metadata, and the names of those that do not.

    None if no column fits. A null is nothing, so it is in neither.
    """
    kept: dict[str, Any] = {}
    left_out: list[str] = []
    for key, value in row.items():
        if key in without or value is None:
            continue
        if _is_short(key) and (_is_short(value) or _is_short_nested(value)):
            kept[key] = value
        else:
            left_out.append(key[:FIELD_CHARACTERS].encode(errors="backslashreplace").decode())
    return kept or None, tuple(left_out)


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= FIELD_CHARACTERS and value.isprintable()
    return isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _is_short_nested(value: Any) -> bool:
    if not isinstance(value, list | dict):
        return False
    try:
        # Where the metadata hold it, it is nested two levels deeper, and Python bounds the depth.
        text = ENCODE([[[[value]]]])[4:-4]
        text.encode()
    except (ValueError, TypeError, RecursionError):
        # Bytes, times and half surrogate pairs are not JSON in UTF-8.
        return False
    return len(text) <= NESTED_CHARACTERS


def name_of(value: Any) -> str | None:
    """An id or a URL as a string; None if the value is neither a string nor an integer."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value) or None
