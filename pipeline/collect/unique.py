"""Makes ids unique over the whole corpus: of documents with the same id the first is kept, later ones are quarantined.

Guarantee: the decision covers all shards in document order, so it depends only on the input, not on which worker finished
first.
Cost: 28 bytes on disk per document, sorted outside memory (`external`). This process holds the places of repeated ids alone. A
shard with a repeated id is written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.errors import Misaligned, RecordError
from tokenmill.pipeline.base.manifest import Shard
from tokenmill.pipeline.collect.records import place_of, quarantined
from tokenmill.pipeline.collect.write import Made, documents_name, write_rejected
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run

REASON = "duplicate_id"
ADVICE = (
    'If ids start anew in each file, set id_scope = "file" for the source (an entry of collect.sources); if the column holds '
    'no ids, set id_field = "".'
)


def write(path: Path, number: int, ids: Sequence[bytes]) -> Run:
    """Write the ids of the shards of split `number`, for each shard its ids end to end, as a run: id, shard and row."""
    words = np.frombuffer(b"".join(ids), dtype=">u8").astype(np.uint64).reshape(-1, 2)
    sizes = [len(one) // schema.DOC_ID_BYTES for one in ids]
    keys = np.repeat(np.array([key(number, at) for at in range(len(ids))], dtype=np.uint64), sizes)
    rows = np.concatenate([np.empty(0, np.uint32), *(np.arange(size, dtype=np.uint32) for size in sizes)])
    return runs.write_sorted(path, words[:, 0], words[:, 1], keys, rows, by=2)


def key(split: int, shard: int) -> int:
    """One number for the `shard`-th shard of a split."""
    return split << 32 | shard


def repeated(found: Sequence[Run], means: Means) -> dict[int, tuple[int, ...]]:
    """By `key` of a shard, the rows whose id an earlier row of this shard or of an earlier shard has.

    `found`: for each split, in order, what `write` wrote. It is removed. Raises OSError.
    """
    if not found:
        return {}
    few = tuple(sort.merge(means, found, "ids", by=2))
    rows = means.rows(few[0].kinds)
    later = means.executor.map(_later, [_Ids(runs=few, within=within, rows=rows) for within in runs.ranges(few, rows)])
    keys, places = (np.concatenate(column) for column in zip(*later, strict=True))
    order = np.lexsort((places, keys))
    keys, places = keys[order], places[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
    groups = np.split(places, begins[1:]) if len(begins) else []
    return {int(keys[first]): tuple(group.tolist()) for first, group in zip(begins, groups, strict=True)}


@dataclass(frozen=True, kw_only=True)
class _Ids:
    runs: tuple[Run, ...]
    within: Range
    rows: int


def _later(task: _Ids) -> tuple[Array, Array]:
    """The shards and rows of ids that come again."""
    found: list[tuple[Array, Array]] = [(np.empty(0, np.uint64), np.empty(0, np.uint32))]
    last = None
    for high, low, keys, rows in sort.ordered([run.within(task.within) for run in task.runs], 2, task.rows):
        again = np.zeros(len(high), dtype=np.bool_)
        again[1:] = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
        again[0] = last == (high[0], low[0])
        last = (high[-1], low[-1])
        found.append((keys[again], rows[again]))
    keys, rows = (np.concatenate(column) for column in zip(*found, strict=True))
    return keys, rows


def without(root: Path, made: Made, rows: tuple[int, ...], source: str) -> Made:
    """Write the shard again without `rows`, and quarantine them. `made` must still hold all its documents.

    Raises Misaligned if rows were removed before.
    """
    if made.removed:
        raise Misaligned(f"{made.shard.name}: {len(made.removed)} rows were removed before, so row numbers mean other rows now")
    name = documents_name(made.shard.name)
    table = shards.read(root, (name, made.shard.files[name]))
    taken = table.take(pa.array(rows))
    records = []
    same = "an earlier document of this source has the same id and is kept"
    for doc_id, text, metadata in zip(taken["doc_id"], taken["text"], taken["metadata"], strict=True):
        data = text.as_py().encode()
        error = RecordError(REASON, f"{same} (doc_id {doc_id.as_py().hex()}); see id_scope and id_field of the source")
        records.append(quarantined(place_of(metadata.as_py()), error, data, len(data)))
    stays = np.ones(table.num_rows, dtype=np.bool_)
    stays[list(rows)] = False
    kept = table.filter(pa.array(stays)).unify_dictionaries().combine_chunks()
    counts = replace(
        made.shard.counts,
        kept=kept.num_rows,
        quarantined=made.shard.counts.quarantined + len(rows),
        bytes_kept=int(pc.sum(pc.binary_length(kept["text"])).as_py() or 0),
    )
    tables = {**made.rejected, "duplicates": write_rejected(root, made.shard.name, "duplicates", source, records)}
    files = {name: shards.write(root, name, kept)}
    for other in made.shard.files.items():
        if other[0] != name:
            files[other[0]] = shards.write(root, other[0], shards.read(root, other).filter(pa.array(stays)).combine_chunks())
    shard = Shard(name=made.shard.name, files=files, counts=counts)
    removed_ids = tuple(doc_id.hex() for doc_id in taken["doc_id"].to_pylist())
    return replace(made, shard=shard, rejected=tables, removed=rows, removed_ids=removed_ids)
