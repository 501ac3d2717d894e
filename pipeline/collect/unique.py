"""Makes ids unique over the whole corpus: of documents with the same id the first is kept, later ones are quarantined.

Guarantee: the decision covers all shards in document order, so it depends only on the input, not on which worker finished
first.
Cost: 16 bytes of memory per document and one sort. A shard with a repeated id is written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.errors import Misaligned, RecordError, TokenmillError
from tokenmill.pipeline.base.manifest import Shard
from tokenmill.pipeline.collect.records import place_of, quarantined
from tokenmill.pipeline.collect.write import Made, documents_name, write_rejected

REASON = "duplicate_id"


class NotUnique(TokenmillError):
    """Ids repeat where no documents were written, so that the later ones cannot be taken out."""


ADVICE = (
    'If ids start anew in each file, set id_scope = "file" for the source (an entry of collect.sources); if the column holds '
    'no ids, set id_field = "".'
)


def repeated(ids: Sequence[bytes]) -> list[tuple[int, ...]]:
    """For each shard, the rows whose id an earlier row of this shard or of an earlier shard has.

    ids: for each shard, its ids end to end.
    """
    if not ids:
        return []
    words = np.frombuffer(b"".join(ids), dtype=">u8").reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0]))
    ordered = words[order]
    later: npt.NDArray[np.int64] = np.sort(order[1:][(ordered[1:] == ordered[:-1]).all(axis=1)])
    ends = np.cumsum([len(one) // schema.DOC_ID_BYTES for one in ids], dtype=np.int64)
    parts = np.split(later, np.searchsorted(later, ends[:-1]))
    begins = [0, *ends[:-1].tolist()]
    return [tuple((part - begin).tolist()) for part, begin in zip(parts, begins, strict=True)]


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
    return replace(made, shard=shard, rejected=tables, removed=rows)
