"""What collection remembers between runs, with a hash of itself, so that a damaged record is a missing one.

Guarantee: what `load` returns is what `save` was given. Nothing here is published.
Cost: one small file written by the protocol.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline import files


def save(path: Path, value: Any) -> None:
    """Write a JSON value."""
    files.write_json(path, {"value": value, "sha256": _digest(value)})


def load(path: Path) -> Any:
    """The value, or None where there is none or its bytes are not those that were written."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and record.keys() == {"value", "sha256"} and record["sha256"] == _digest(record["value"])
    return record["value"] if whole else None


def _digest(value: Any) -> str:
    return hashlib.sha256(files.canonical_json(value)).hexdigest()
