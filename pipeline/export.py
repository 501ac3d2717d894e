"""Surviving text, with edits applied, for tools that do not read the corpus: JSON lines or Parquet.

Guarantee: one row per surviving document in document order; a file appears whole or not at all.
Cost: one shard in memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import files, shards
from pipeline.manifest import Manifest
from pipeline.work import Progress, views

Format = Literal["jsonl", "parquet"]
COLUMNS = ("doc_id", "source", "url", "text", "metadata")


def export(root: Path, before: Sequence[Manifest], out: Path, to: Format, progress: Progress) -> int:
    """Write `out/<source>/<split>.<to>` for every shard and return the number of documents.

    `doc_id` is written as 32 hex digits; `metadata` is an object in JSON lines and a JSON string in Parquet.
    """
    seen = views(root, before)
    progress.begin("export", len(seen), "shards")
    documents = 0
    for view in seen:
        table = view.read(COLUMNS).table
        documents += table.num_rows
        ids = pa.array([value.hex() for value in table["doc_id"].to_pylist()], pa.string())
        table = table.set_column(0, "doc_id", ids).set_column(1, "source", pc.cast(table["source"], pa.string()))
        name = f"{view.name}.{to}"
        if to == "parquet":
            shards.write(out, name, table)
        else:
            with files.create(out / name) as file:
                for row in table.to_pylist():
                    line = {**row, "metadata": json.loads(row["metadata"])}
                    file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        progress.advance(1)
    progress.end(f"{documents:,} documents in {out}")
    return documents
