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
from tokenmill.pipeline.collect.html.candidates import COLUMNS, Candidates, PageScores, unpacked
from tokenmill.pipeline.stages.stage import name_of

FACTS = ("prose", "visible", "embedded", "rival")
LISTS = (*COLUMNS, "shown")
SCHEMA = pa.schema(
    [schema.DOC_ID, *(pa.field(name, pa.int32()) for name in FACTS)]
    + [pa.field(name, pa.list_(pa.field("item", pa.int32(), nullable=False))) for name in LISTS]
)


def name(shard: str) -> str:
    """Path of the table of a shard."""
    return name_of(COLLECT, "scores", shard)


def table(ids: Sequence[bytes], packed: Sequence[bytes]) -> pa.Table:
    """The table of documents with these ids and bytes of `PageScores.packed`; empty bytes where there is none."""
    pages = [unpacked(data) if data else None for data in packed]
    facts = [pa.array([None if page is None else getattr(page, name) for page in pages], pa.int32()) for name in FACTS]
    ends = np.cumsum([0, *(0 if page is None else len(page.candidates) for page in pages)])
    missing = pa.array([page is None for page in pages], pa.bool_())
    lists = []
    for field in list(SCHEMA)[-len(LISTS) :]:
        parts = [_column(page, field.name) for page in pages if page is not None]
        values = np.concatenate([np.empty(0, np.int32), *parts])
        lists.append(pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values), type=field.type, mask=missing))
    return pa.table([pa.array(ids, schema.DOC_ID.type), *facts, *lists], schema=SCHEMA)


def pages(stored: pa.Table) -> Iterator[PageScores | None]:
    """The pages of a table; None for a document that is of none."""
    facts = {name: stored[name].to_pylist() for name in FACTS}
    lists = {name: stored[name].combine_chunks() for name in LISTS}
    ends = lists["shown"].offsets.to_numpy()
    values = {name: column.values.to_numpy() for name, column in lists.items()}
    for row in range(stored.num_rows):
        if facts["prose"][row] is None:
            yield None
            continue
        blocks = {name: column[ends[row] : ends[row + 1]] for name, column in values.items()}
        shown = blocks.pop("shown")
        yield PageScores(candidates=Candidates(**blocks), shown=shown, **{name: column[row] for name, column in facts.items()})


def _column(page: PageScores, name: str) -> np.ndarray:
    return page.shown if name == "shown" else getattr(page.candidates, name)
