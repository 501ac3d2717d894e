"""Score columns: the passages of every text that hold an item.

Guarantee: the same texts and index give the same passages, in the order of the text.
Cost: that of `kernels.decontamination.passages.find`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.kernels.decontamination.passages import find
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.stages.decontamination.index import Index, folding
from tokenmill.pipeline.stages.decontamination.settings import LEAST_SHARE, DecontaminationConfig

HIT = pa.struct(
    [
        ("set", pa.string()),
        ("item", pa.string()),
        ("words", pa.int32()),
        ("share", pa.float64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
    ]
)
SCORES = pa.schema([pa.field("coverage", pa.float64()), pa.field("hits", pa.list_(HIT)), pa.field("bytes", pa.int64())])
"""`coverage`: the greatest share of an item that stands in a passage, 0 if none has half of one. `hits`: all such passages, in
the order of the text: the set and the item, the words of the item that count, the share, and the bytes [start, end) of the text
as the stage reads it. `bytes`: of the text."""
SHARE_DECIMALS = 4


def found(texts: pa.LargeStringArray, index: Index, config: DecontaminationConfig) -> pa.RecordBatch:
    """The columns of SCORES for a column of texts."""
    data, offsets = utf8(texts)
    columns = find(data, offsets, folding(config.numbers), index.lookup, config.ngram_words, LEAST_SHARE)
    rows, numbers, starts, ends, _ = columns
    order = np.lexsort((numbers, ends, starts, rows))
    rows, numbers, starts, ends, shares = (column[order] for column in columns)
    items = index.item_of[numbers]
    shares = np.round(shares, SHARE_DECIMALS)
    fields = [
        pa.array(index.sets, pa.string()).take(pa.array(index.set_of[items])),
        pa.array([index.ids[item] for item in items.tolist()], pa.string()),
        pa.array(index.words[numbers].astype(np.int32)),
        pa.array(shares),
        pa.array(starts),
        pa.array(ends),
    ]
    bounds = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(texts)))]).astype(np.int32)
    hits = pa.ListArray.from_arrays(pa.array(bounds), pa.StructArray.from_arrays(fields, fields=list(HIT)))
    coverage = np.zeros(len(texts))
    np.maximum.at(coverage, rows, shares)
    return pa.RecordBatch.from_arrays([pa.array(coverage), hits, pa.array(np.diff(offsets))], schema=SCORES)


def alive(table: pa.Table) -> pa.Table:
    """The rows of a table of scores that were scored: those alive."""
    return table.filter(table["coverage"].is_valid())
