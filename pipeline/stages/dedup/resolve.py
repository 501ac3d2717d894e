"""Decides which documents are kept, and makes the verdicts with their evidence.

Guarantee: distinct texts are visited in survivor order, and a text is kept unless it has an edge to a kept one. So every
removed document names a kept document, at a similarity that reaches the threshold. A copy of a removed text names the document
that this text names.
Cost: linear in documents and pairs; about 60 bytes per document, and one range of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.runs import ALL, Run
from tokenmill.pipeline.kernels.dedup.candidates import survivors
from tokenmill.pipeline.stages.dedup.collected import Documents
from tokenmill.pipeline.stages.dedup.exact import Groups
from tokenmill.pipeline.stages.dedup.verify import SIMILAR, ranks_of

EXACT_DUPLICATE = "exact_duplicate"
NEAR_DUPLICATE = "near_duplicate"

VERDICT = pa.schema(
    [
        schema.REASON,
        pa.field("kept_doc_id", schema.DOC_ID.type),
        pa.field("jaccard", pa.float64()),
        pa.field("cluster_size", pa.int32()),
        pa.field("compared", pa.dictionary(pa.int32(), pa.string())),
    ]
)
"""`kept_doc_id`, `jaccard` and `compared` are null for a kept row. `cluster_size` counts a kept document and those that name
it. `compared` says in words what of the two texts was compared, and how it was normalised."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Which rank each rank is a duplicate of."""

    keeper: npt.NDArray[np.int64]
    """[ranks]: the kept rank that this rank duplicates; the rank itself if it is kept."""
    similarity: npt.NDArray[np.float64]
    """[ranks]: similarity to `keeper`."""
    revised: npt.NDArray[np.bool_]
    """[ranks]: whether that is the similarity under the looser folding, of a revision (`revisions`)."""
    edges: int
    """Number of pairs that reach the threshold."""


def decide(by_range: Sequence[Sequence[Run]], revisions: Sequence[Sequence[Run]], ranks: int, threshold: float) -> Decision:
    """Visit all ranks in order. `by_range`, `revisions`: for each range of pairs, in ascending order, runs of `verify.SIMILAR`.

    Of `by_range`, the pairs that reach the threshold are edges; of `revisions`, which are other pairs, all.
    """
    keeper = np.arange(ranks, dtype=np.int64)
    similarity = np.ones(ranks, dtype=np.float64)
    edges = 0
    for parts, revised_parts in zip(by_range, revisions, strict=True):
        pairs, found = runs.read(parts, ALL, SIMILAR)
        more, loosely = runs.read(revised_parts, ALL, SIMILAR)
        alike = found >= threshold
        pairs, found = np.concatenate([pairs[alike], more]), np.concatenate([found[alike], loosely])
        order = np.argsort(pairs)
        survivors(pairs[order], found[order], keeper, similarity)
        edges += len(pairs)
    revised = np.zeros(ranks, dtype=np.bool_)
    for parts in revisions:
        lower, higher = ranks_of(runs.read(parts, ALL, SIMILAR)[0])
        revised[higher[keeper[higher] == lower]] = True
    return Decision(keeper=keeper, similarity=similarity, revised=revised, edges=edges)


def verdicts(
    documents: Documents, groups: Groups, decision: Decision, compared: tuple[str, str, str]
) -> tuple[list[pa.RecordBatch], int]:
    """The verdicts of each shard's rows alive, in order, and the number of clusters of more than one document.

    `compared`: what is compared of exact duplicates, of near duplicates, and of revisions.
    """
    kept_rank = decision.keeper[groups.rank]
    kept_row = groups.rows[kept_rank]
    sizes = np.bincount(kept_rank, minlength=len(groups.rows))
    kept = kept_row == np.arange(len(kept_row))
    reason = np.where(kept, 0, np.where(kept_rank == groups.rank, 1, 2)).astype(np.int32)
    how = np.where(reason == 2, 1 + decision.revised[groups.rank], 0).astype(np.int32)
    batches = []
    for start, stop in zip(documents.starts[:-1], documents.starts[1:], strict=True):
        mine = slice(start, stop)
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(reason[mine]), [schema.KEPT, EXACT_DUPLICATE, NEAR_DUPLICATE]),
            documents.doc_ids.take(pa.array(kept_row[mine], mask=kept[mine])),
            pa.array(decision.similarity[groups.rank[mine]], mask=kept[mine]),
            pa.array(sizes[kept_rank[mine]].astype(np.int32)),
            pa.DictionaryArray.from_arrays(pa.array(how[mine], mask=kept[mine]), list(compared)),
        ]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=VERDICT))
    return batches, int((sizes > 1).sum())
