"""Corpora to be packed, and what is in the store afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tokenmill.pipeline.base import manifest, schema, shards
from tokenmill.pipeline.stages.step import Done, Work

Pack = Callable[..., Done]
MakeCorpus = Callable[..., Work]


def layout(texts: Sequence[str]) -> dict[str, Sequence[str]]:
    return {f"a/{number}": texts[20 * number : 20 * number + 20] for number in range(4)}


def dropping(work: Work, reasons: dict[str, list[str | None]]) -> Work:
    """The corpus after a stage `quality` with these reasons by shard."""
    made = []
    for shard in work.before[0].shards:
        name = f"quality/verdicts/{shard.name}.parquet"
        rows = shards.read(work.root, next(iter(shard.files.items())), ["doc_id"])
        table = rows.append_column(schema.REASON, schema.reasons(reasons[shard.name]))
        made.append(manifest.Shard(name=shard.name, files={name: shards.write(work.root, name, table)}))
    judged = manifest.Manifest(stage="quality", version=1, config={}, inputs={}, shards=tuple(made))
    manifest.commit(work.root, judged)
    return dataclasses.replace(work, before=(*work.before, judged))


def published(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((root / "tokens").rglob("*"))
        if path.is_file()
    }


def ids(root: Path, name: str, dtype: str = "<u2") -> list[int]:
    return np.frombuffer((root / "tokens" / name).read_bytes(), dtype=dtype).tolist()


def spell(text: str) -> list[int]:
    return [byte + 1 for byte in text.encode()] + [0]
