"""Checks that documents which left for a key share it with the document that they name.

Guarantee: keys are computed anew from URLs and metadata, of all documents that the stage saw. The kept document is the one that
shares the key, or the one that this one names.
Cost: one read of URLs or metadata for each key; 17 bytes per document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base.schema import KEPT
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.stages.dedup.keys import hashes_of
from tokenmill.pipeline.stages.dedup.settings import DedupConfig


def untrue(table: pa.Table, starts: Sequence[int], views: Sequence[View], config: DedupConfig) -> Iterator[tuple[int, str]]:
    """Positions of verdicts that are wrong, with what is wrong.

    `table`: the verdicts of all shards, end to end, which begin at `starts`. `views`: the shards as the stage saw them. Raises
    what reading raises.
    """
    reasons = np.array(table["reason"].cast(pa.string()).to_pylist(), dtype=object)
    for key, reason in zip(config.keys, config.key_reasons, strict=True):
        mine = np.flatnonzero(reasons == reason)
        if not len(mine):
            continue
        named = table.take(pa.array(mine))
        found = pc.index_in(named["same_key_doc_id"], value_set=table["doc_id"].combine_chunks())
        partner = np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)
        hashes, there = np.zeros((table.num_rows, 2), dtype=np.uint64), np.zeros(table.num_rows, dtype=np.bool_)
        for view, start in zip(views, starts, strict=False):
            keys = hashes_of(view, key)
            hashes[start + keys.rows], there[start + keys.rows] = keys.hashes, keys.there
        theirs = table.take(pa.array(np.maximum(partner, 0)))
        stands = pc.if_else(pc.equal(theirs["reason"].cast(pa.string()), KEPT), theirs["doc_id"], theirs["kept_doc_id"])
        follows = np.asarray(pc.fill_null(pc.equal(stands, named["kept_doc_id"]), False).to_numpy(), dtype=np.bool_)
        shares = there[mine] & there[partner] & (hashes[mine] == hashes[partner]).all(axis=1) & (partner != mine)
        for wrong, said in (
            (partner < 0, "it names no document that shares its key"),
            ((partner >= 0) & ~shares, f"the document that it names has another key {key}"),
            ((partner >= 0) & shares & ~follows, "its kept document is not that of the document which shares its key"),
        ):
            yield from ((int(place), said) for place in mine[wrong])
