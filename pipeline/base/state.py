"""Records of what a build has done, kept between runs below `.state` in the corpus folder: which shards are done, from what.

Guarantee: `load` returns what `save` was given, or None: a record holds its format and a hash of itself, so a damaged record
and one of another format count as missing (see `formats`). `save` waits for the disk only for what nothing could rebuild. A
recorded shard counts as done only after its files were compared with their hashes. Nothing here is published.
Cost: one small file per shard, written by the protocol.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.formats import RECORD
from tokenmill.pipeline.base.manifest import Shard

FOLDER = ".state"


def path_of(root: Path, stage: str, shard: str) -> Path:
    """The path of a shard's record."""
    return root / FOLDER / stage / f"{shard}.json"


def save(path: Path, value: Any, *, durable: bool = False) -> None:
    """Write a JSON value with its hash. `durable`: it survives a power loss, for what cannot be rebuilt. Raises OSError."""
    files.write_json(path, {"format": RECORD, "value": value, "sha256": _digest(value)}, durable=durable)


def load(path: Path, *, oldest: int = RECORD) -> Any:
    """The value that was saved at `path`, in a format from `oldest` on; None if there is none or it is not what was written."""
    try:
        data = files.read_bytes(path)
        record = json.loads(data)
        whole = data == files.canonical_json(record)
    except (OSError, ValueError, RecursionError):
        return None
    if not whole or not isinstance(record, dict) or {*record, "format"} != {"format", "value", "sha256"}:
        return None
    known = record.get("format", 1) in range(oldest, RECORD + 1)
    return record["value"] if known and record["sha256"] == _digest(record["value"]) else None


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
