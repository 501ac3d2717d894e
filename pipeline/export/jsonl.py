"""Text as JSON lines, one file per shard: one object per document, with `metadata` as an object inside it.

Cost: one shard in memory.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.export.source import ExportSource, Item


def plan(source: ExportSource) -> list[Item]:
    """`<source>/<shard>.jsonl` for every shard."""
    return [Item(name=f"{view.name}.jsonl", write=functools.partial(_write, source, view)) for view in source.views]


def _write(source: ExportSource, view: View, path: Path) -> int:
    table, _ = source.texts(view)
    with files.create(path) as file:
        for row in table.to_pylist():
            line = {**row, "metadata": json.loads(row["metadata"])}
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return int(table.num_rows)
