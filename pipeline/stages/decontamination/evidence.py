"""What was found of every evaluation item: the table `items.parquet`, and the facts of each set.

Guarantee: the table has a row for each item, also for those that stand nowhere. Cost: one look-up per passage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.stages.decontamination.decide import Judged, named
from tokenmill.pipeline.stages.decontamination.index import Index
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig

ITEMS = "decontamination/items.parquet"
EVIDENCE = pa.schema(
    [
        pa.field("set", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("words", pa.int32(), nullable=False),
        pa.field("sought", pa.bool_(), nullable=False),
        pa.field("common", pa.bool_(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("share", pa.float64(), nullable=False),
        pa.field("doc_id", pa.binary(schema.DOC_ID_BYTES)),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
    ]
)
"""One row per item, in the order of the sets. `words`: the most that count in a text of it. `sought`: whether it has enough of
them to be looked for. `common`: whether a text of it counted as a common phrase. `documents`: how many it
contaminates. `share`: the greatest share of it that stands in a passage, whether or not that counts (0: less than half of it
stands anywhere), and the document and the bytes of that passage."""


def evidence(index: Index, judged: Sequence[Judged], config: DecontaminationConfig) -> pa.Table:
    """The rows of `ITEMS`. Shards are given in order."""
    sets, ids = pa.array(index.sets, pa.string()).take(pa.array(index.set_of)), pa.array(index.ids, pa.string())
    words = np.zeros(len(index.ids), dtype=np.int32)
    np.maximum.at(words, index.item_of, index.words.astype(np.int32))
    documents = np.zeros(len(words), dtype=np.int64)
    common = np.zeros(len(words), dtype=np.bool_)
    shares = np.zeros(len(words))
    best: dict[int, tuple[bytes, int, int]] = {}
    names = named(sets, ids)
    for one in judged:
        hits = one.hits
        items = pc.index_in(hits.names(), value_set=names).to_numpy(zero_copy_only=False)
        pairs = np.unique(np.stack([items[one.counts], hits.rows[one.counts]]), axis=1)
        np.add.at(documents, pairs[0], 1)
        common[items[one.common]] = True
        for at in np.flatnonzero(hits.shares > shares[items]).tolist():
            item = int(items[at])
            if hits.shares[at] > shares[item]:
                shares[item] = hits.shares[at]
                best[item] = (one.doc_ids[int(hits.rows[at])].as_py(), int(hits.starts[at]), int(hits.ends[at]))
    shown = [best.get(item, (None, None, None)) for item in range(len(words))]
    columns = [
        sets.dictionary_encode().cast(EVIDENCE.field("set").type),
        ids,
        words,
        index.sought() & (words >= config.min_words),
        common,
        documents,
        shares,
        *([row[column] for row in shown] for column in range(3)),
    ]
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, EVIDENCE, strict=True)], schema=EVIDENCE
    )


def facts(index: Index, judged: Sequence[Judged], found: pa.Table) -> dict[str, Any]:
    """The results of each set, `SetFacts` by its name."""
    sets = found["set"].cast(pa.string())
    gone = dict.fromkeys(index.sets, 0)
    for one in judged:
        mine = np.flatnonzero(one.counts)
        pairs = pa.table({"set": one.hits.table["set"].take(pa.array(mine)), "row": one.hits.rows[mine]})
        counted = pairs.group_by("set").aggregate([("row", "count_distinct")])
        for name, number in zip(counted["set"].to_pylist(), counted["row_count_distinct"].to_pylist(), strict=True):
            gone[name] += number
    results = {}
    for name in index.sets:
        mine = found.filter(pc.equal(sets, name))
        results[name] = {
            "items": mine.num_rows,
            "sought": pc.sum(mine["sought"]).as_py() or 0,
            "common": pc.sum(mine["common"]).as_py() or 0,
            "found": pc.sum(pc.greater(mine["documents"], 0)).as_py() or 0,
            "documents": gone[name],
        }
    return results
