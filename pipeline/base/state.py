"""Records of what a build has done, kept between runs below `.state` in the corpus folder: which shards are done, from what.

Guarantee: `load` returns what `save` was given, or None: a record holds a hash of itself, so a damaged record counts as
missing, and `save` waits for the disk only for what nothing could rebuild. A recorded shard counts as done only after its
files were compared with their hashes. Nothing here is published.
Cost: one small file per shard, written by the protocol.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.manifest import Shard

FOLDER = ".state"


def path_of(root: Path, stage: str, shard: str) -> Path:
    """The path of a shard's record."""
    return root / FOLDER / stage / f"{shard}.json"


def save(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write a JSON value with its hash. `durable`: it survives a power loss, for what cannot be rebuilt. Raises OSError."""
    files.write_json(path, {"value": value, "sha256": _digest(value)}, durable=durable)


def load(path: Path) -> Any:
    """The value that was saved at `path`; None if there is none or the file does not hold the bytes that were written."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(record, dict) and record.keys() == {"value", "sha256"} and record["sha256"] == _digest(record["value"])
    return record["value"] if whole else None


def record_shard(root: Path, stage: str, shard: Shard, identity: str, **facts: Any) -> None:
    """Record that `shard` is done. `identity` identifies the work; `facts` are JSON values that the next run needs."""
    save(path_of(root, stage, shard.name), {"identity": identity, "shard": manifest.shard_to_plain(shard), **facts})


def finished(root: Path, recorded: Mapping[str, Any] | None, identity: str) -> Shard | None:
    """The shard in `recorded`; None unless the record has this identity and the shard's files hold their bytes."""
    if recorded is None or recorded["identity"] != identity:
        return None
    shard = manifest.shard_from_plain(recorded["shard"])
    return shard if all(files.holds(root, *named) for named in shard.files.items()) else None


def _digest(value: Any) -> str:
    return hashlib.sha256(files.canonical_json(value)).hexdigest()
