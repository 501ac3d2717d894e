"""The store as OLMo-core reads it: raw ids named `.npy`, and a table of documents beside them.

`.csv.gz` has one line per document and no header: the first token, the one after the last, the id, the documents table the
document comes from, and its row there. The format follows dolma, python/dolma/tokenizer/memmap_writer.py, and OLMo-core,
data/utils.py.
Cost: one read of the store; the documents table of one token shard in memory.
"""

from __future__ import annotations

import functools
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.export.source import ExportSource, Item, link
from tokenmill.pipeline.tokens import TokenShard

COMPRESSION = 6


def plan(source: ExportSource) -> list[Item]:
    """`train/00000.npy` and `train/00000.csv.gz` for every token shard."""
    items = []
    for name, shard in source.token_shards:
        items.append(link(f"{name}.npy", shard, shard.payload))
        items.append(Item(name=f"{name}.csv.gz", write=functools.partial(_documents, shard)))
    return items


def _documents(shard: TokenShard, path: Path) -> int:
    table = shards.read(shard.root, shard.documents, ["doc_id", "shard", "row", "token_offset", "tokens"])
    columns = {
        "start": table["token_offset"],
        "end": pc.add(table["token_offset"], table["tokens"]),
        "id": pa.array([value.hex() for value in table["doc_id"].to_pylist()], pa.string()),
        "src": pc.binary_join_element_wise("documents/", table["shard"].cast(pa.string()), ".parquet", ""),
        "loc": table["row"],
    }
    lines = pa.BufferOutputStream()
    # No name holds a comma, a quote or a line feed, so nothing needs quotes, and a reader may split at commas.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
    pa.csv.write_csv(pa.table(columns), lines, options)
    files.write_bytes(path, gzip.compress(lines.getvalue(), COMPRESSION, mtime=0))
    return 0
