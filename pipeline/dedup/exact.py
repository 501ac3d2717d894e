"""Equal texts: survivor order over all documents, and the groups that share the hash of their normalised text.

Guarantee: a group's leader is its first document in survivor order; the order is total, since `doc_id` settles what the
policy leaves open.
Cost: two sorts over the documents, about 100 bytes each while they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.dedup.signatures import Signatures
from pipeline.schema import DOC_ID_BYTES


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Distinct texts in survivor order: a leader's place in it is its rank. Near duplicates are sought among leaders."""

    rows: npt.NDArray[np.int64]
    """[ranks]: the document that leads."""
    rank: npt.NDArray[np.int64]
    """[documents]: the rank of the document's leader."""


def groups(signatures: Signatures, policy: Sequence[Literal["source", "length", "doc_id"]]) -> Groups:
    """Group documents by `exact`. `policy` names what decides who comes first, the most important first."""
    order = _survivor_order(signatures, policy)
    count = len(order)
    position = np.empty(count, dtype=np.int64)
    position[order] = np.arange(count)
    grouped = np.lexsort((position, signatures.exact[:, 1], signatures.exact[:, 0]))
    begins = np.ones(count, dtype=np.bool_)
    begins[1:] = (signatures.exact[grouped[1:]] != signatures.exact[grouped[:-1]]).any(axis=1)
    leader = np.empty(count, dtype=np.int64)
    leader[grouped] = grouped[begins][np.cumsum(begins) - 1]
    rows = order[leader[order] == order]
    rank = np.empty(count, dtype=np.int64)
    rank[rows] = np.arange(len(rows))
    return Groups(rows=rows, rank=rank[leader])


def _survivor_order(signatures: Signatures, policy: Sequence[Literal["source", "length", "doc_id"]]) -> npt.NDArray[np.int64]:
    ids = np.frombuffer(signatures.doc_ids.buffers()[1], dtype=">u8", offset=signatures.doc_ids.offset * DOC_ID_BYTES)
    halves = ids[: 2 * len(signatures.doc_ids)].reshape(-1, 2).astype(np.uint64)
    keys: list[npt.NDArray[np.generic]] = []
    for name in (*policy, "doc_id"):
        if name == "source":
            keys.append(signatures.priority)
        elif name == "length":
            keys.append(-signatures.text_bytes)
        else:
            keys += [halves[:, 0], halves[:, 1]]
    # lexsort takes the most important key last.
    return np.lexsort(keys[::-1])
