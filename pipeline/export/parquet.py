"""Text as Parquet, one file per shard: one row per document, with `metadata` as a JSON string.

Cost: one shard in memory.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.export.source import ExportSource, Item


def plan(source: ExportSource) -> list[Item]:
    """`<source>/<shard>.parquet` for every shard."""
    return [Item(name=f"{view.name}.parquet", write=functools.partial(_write, source, view)) for view in source.views]


def _write(source: ExportSource, view: View, path: Path) -> int:
    table, _ = source.texts(view)
    write(table, path)
    return int(table.num_rows)


def write(table: pa.Table, path: Path) -> None:
    """Write `table`. A table without rows gets no row group, because `datasets` fails on a row group without rows."""
    if table.num_rows:
        shards.write(path.parent, path.name, table)
        return
    with files.create(path) as out:
        pq.ParquetWriter(out, table.schema).close()
