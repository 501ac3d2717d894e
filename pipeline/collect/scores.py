"""The table of a shard's block scores: what `html.candidates.PageScores` holds, a row for each document.

Guarantee: rows are those of the documents, in their order. All but the `doc_id` is null where a document does not come from the
blocks of a page.
Cost: a quarter of the bytes of the documents' table, for pages of documentation. Memory: 36 bytes a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.manifest import COLLECT
from tokenmill.pipeline.collect.html.candidates import COLUMNS, FACTS, PageScores, unpacked
from tokenmill.pipeline.stages.stage import name_of

LIST = pa.list_(pa.field("item", pa.int32(), nullable=False))
SCHEMA = pa.schema(
    [schema.DOC_ID, *(pa.field(name, pa.int32()) for name in FACTS), *(pa.field(name, LIST) for name in COLUMNS)]
)


def name(shard: str) -> str:
    """Path of the table of a shard."""
    return name_of(COLLECT, "scores", shard)


def table(ids: Sequence[bytes], packed: Sequence[bytes]) -> pa.Table:
    """The table of documents with these ids and bytes of `PageScores.packed`; empty bytes where there is none."""
    found = [unpacked(data) if data else None for data in packed]
    facts = [pa.array([None if page is None else getattr(page, fact) for page in found], pa.int32()) for fact in FACTS]
    ends = pa.array(np.cumsum([0, *(0 if page is None else len(page.shown) for page in found)]), pa.int32())
    missing = pa.array([page is None for page in found], pa.bool_())
    blocks = np.concatenate([np.empty((len(COLUMNS), 0), np.int32), *(page.table for page in found if page)], axis=1)
    lists = [pa.ListArray.from_arrays(ends, pa.array(column), type=LIST, mask=missing) for column in blocks]
    return pa.table([pa.array(ids, schema.DOC_ID.type), *facts, *lists], schema=SCHEMA)


def pages(stored: pa.Table) -> Iterator[PageScores | None]:
    """The pages of a table; None for a document that is of none. Raises ValueError for numbers that no page has."""
    facts = zip(*(stored[fact].to_pylist() for fact in FACTS), strict=True)
    lists = [stored[column].combine_chunks() for column in COLUMNS]
    ends = [column.offsets.to_numpy().tolist() for column in lists]
    if any(one != ends[0] for one in ends):
        raise ValueError("columns of blocks have different lengths")
    blocks = np.stack([column.values.to_numpy() for column in lists])
    for row, values in enumerate(facts):
        if None in values:
            yield None
        else:
            yield PageScores(table=blocks[:, ends[0][row] : ends[0][row + 1]], **dict(zip(FACTS, values, strict=True)))
