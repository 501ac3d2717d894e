"""Surviving text, with edits applied, for tools that do not read the corpus: JSON lines or Parquet.

Guarantee: one row per surviving document in document order; a file appears whole or not at all. A second export into the
same folder leaves no file of the first; a folder that holds anything else is refused.
Cost: one shard in memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import files, shards, state
from pipeline.errors import InputError
from pipeline.manifest import Manifest
from pipeline.shards import View
from pipeline.work import Progress, views

Format = Literal["jsonl", "parquet"]
COLUMNS = ("doc_id", "source", "url", "text", "metadata")
LISTING = ".export.json"
"""The files of the last export, in its folder."""


def export(root: Path, before: Sequence[Manifest], out: Path, to: Format, progress: Progress) -> int:
    """Write `out/<source>/<split>.<to>` for every shard and return the number of documents.

    `doc_id` is written as 32 hex digits; `metadata` is an object in JSON lines and a JSON string in Parquet.
    Raises InputError when `out` holds something that no export wrote.
    """
    known = state.load(out / LISTING)
    if known is None and out.exists() and any(out.iterdir()):
        raise InputError(f"--out {out}: is not empty and holds no export; choose a new or an empty folder")
    seen = views(root, before)
    names = [f"{view.name}.{to}" for view in seen]
    # Listed before they are written, so that an export that is cut short can still be replaced.
    state.save(out / LISTING, sorted({*names, *(known or ())}))
    for name in known or ():
        files.remove(files.inside(out, name))
    progress.begin("export", len(seen), "shards")
    documents = 0
    for view, name in zip(seen, names, strict=True):
        documents += _write(view, out, name, to)
        progress.advance(1)
    state.save(out / LISTING, names)
    progress.end(f"{documents:,} documents in {out}")
    return documents


def _write(view: View, out: Path, name: str, to: Format) -> int:
    table = view.read(COLUMNS).table
    ids = pa.array([value.hex() for value in table["doc_id"].to_pylist()], pa.string())
    table = table.set_column(0, "doc_id", ids).set_column(1, "source", pc.cast(table["source"], pa.string()))
    if to == "parquet":
        shards.write(out, name, table)
        return int(table.num_rows)
    with files.create(out / name) as file:
        for row in table.to_pylist():
            line = {**row, "metadata": json.loads(row["metadata"])}
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return int(table.num_rows)
