"""Who stays, and the verdicts with their evidence.

Guarantee: distinct texts are visited in survivor order and one is kept unless it has an edge to a kept one. So every
removed document names a document that is kept, at a similarity that reaches the threshold. A copy of a text that is itself
removed names what that text names.
Cost: linear in documents and edges; about 60 bytes per document.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline import schema
from pipeline.dedup.exact import Groups
from pipeline.dedup.signatures import Signatures
from pipeline.dedup.verify import Edges
from pipeline.kernels.candidates import survivors

EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"

VERDICT = pa.schema(
    [
        schema.REASON,
        pa.field("kept_doc_id", schema.DOC_ID.type),
        pa.field("jaccard", pa.float64()),
        pa.field("cluster_size", pa.int32()),
    ]
)
"""`kept_doc_id` and `jaccard` are null for a kept row; `cluster_size` counts a kept document and those that name it."""


def verdicts(signatures: Signatures, groups: Groups, edges: Edges) -> tuple[list[pa.RecordBatch], int]:
    """Verdicts of each shard's rows alive, in order, and the number of clusters of more than one document."""
    keeper = np.arange(len(groups.rows), dtype=np.int64)
    similarity = np.ones(len(groups.rows), dtype=np.float64)
    survivors(edges.lower, edges.higher, edges.similarity, keeper, similarity)
    kept_rank = keeper[groups.rank]
    kept_row = groups.rows[kept_rank]
    sizes = np.bincount(kept_rank, minlength=len(groups.rows))
    kept = kept_row == np.arange(len(kept_row))
    reason = np.where(kept, 0, np.where(kept_rank == groups.rank, 1, 2)).astype(np.int32)
    batches = []
    for start, stop in zip(signatures.starts[:-1], signatures.starts[1:], strict=True):
        mine = slice(start, stop)
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(reason[mine]), [schema.KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE]),
            signatures.doc_ids.take(pa.array(kept_row[mine], mask=kept[mine])),
            pa.array(similarity[groups.rank[mine]], mask=kept[mine]),
            pa.array(sizes[kept_rank[mine]].astype(np.int32)),
        ]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=VERDICT))
    return batches, int((sizes > 1).sum())
