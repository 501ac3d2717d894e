"""Which passages count, and what becomes of the documents that hold them.

Guarantee: a decision follows from the stored passages and the settings alone. A passage counts if its share of the item reaches
the threshold, its item has enough words and is no common phrase, and its set is not ignored.
Cost: memory for all passages; 24 bytes per document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.edits import Edit, merge
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig

CONTAMINATED = "contaminated"
VERDICT = pa.schema(
    [
        schema.REASON,
        pa.field("set", pa.string()),
        pa.field("item", pa.string()),
        pa.field("share", pa.float64()),
        pa.field("start", pa.int64()),
        pa.field("end", pa.int64()),
        pa.field("cut", pa.list_(pa.int32())),
    ]
)
"""Of the passages that count, the one with the greatest share: its set, item, share, and bytes [start, end) of the text as the
stage reads it. `cut`: the passages that are cut, as positions in the column `hits` of the row's scores."""
BETWEEN = "\0"
SLACK = 0.01
"""Shares are rounded, so 6 of 7 words are 5.9999."""

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The passages of the rows of a batch: row i has the passages bounds[i] to bounds[i + 1]."""

    table: pa.RecordBatch
    """[passages]: the fields of a passage."""
    bounds: Numbers
    rows: Numbers
    words: Numbers
    shares: npt.NDArray[np.float64]
    starts: Numbers
    ends: Numbers

    @classmethod
    def of(cls, column: pa.ListArray) -> Hits:
        """The passages of the column `hits`."""
        table = pa.RecordBatch.from_struct_array(column.flatten())
        bounds = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy())]).astype(np.int64)
        numbers = {name: table[field].to_numpy() for name, field in (("shares", "share"), ("starts", "start"), ("ends", "end"))}
        rows = np.repeat(np.arange(len(column)), np.diff(bounds))
        return cls(table=table, bounds=bounds, rows=rows, words=table["words"].to_numpy().astype(np.int64), **numbers)

    def names(self) -> pa.Array:
        """A name of each passage's item that is unique over all sets."""
        return named(self.table["set"], self.table["item"])


def named(sets: pa.Array, items: pa.Array) -> pa.Array:
    """A name of each item that is unique over all sets."""
    return pc.binary_join_element_wise(sets, items, BETWEEN)


@dataclass(frozen=True, kw_only=True)
class JudgedShard:
    """The rows of a shard, decided."""

    doc_ids: pa.Array
    hits: Hits
    common: Mask
    """[passages]: their item is a common phrase."""
    counts: Mask
    """[passages]: they contaminate their document."""
    reasons: npt.NDArray[np.object_]
    """[rows]"""
    cut: Mask
    """[passages]: they are cut."""

    def spans(self) -> dict[int, list[Edit]]:
        """The bytes that are cut, by row: sorted and disjoint."""
        found: dict[int, list[Edit]] = {}
        for at in np.flatnonzero(self.cut).tolist():
            span = Edit(int(self.hits.starts[at]), int(self.hits.ends[at]), b"")
            found.setdefault(int(self.hits.rows[at]), []).append(span)
        return {row: merge(spans) for row, spans in found.items()}

    def verdict(self) -> pa.RecordBatch:
        """The columns of VERDICT."""
        hits, counted = self.hits, np.flatnonzero(self.counts)
        # The greatest share first; of equals the item with most words, then the first in the text.
        order = counted[np.lexsort((counted, -hits.words[counted], -hits.shares[counted], hits.rows[counted]))]
        rows, first = np.unique(hits.rows[order], return_index=True)
        places = np.zeros(len(self.reasons), dtype=np.int64)
        none = np.ones(len(self.reasons), dtype=np.bool_)
        places[rows], none[rows] = order[first], False
        best = hits.table.select(["set", "item", "share", "start", "end"]).take(pa.array(places, mask=none))
        cut = np.flatnonzero(self.cut)
        bounds = np.concatenate([[0], np.cumsum(np.bincount(hits.rows[cut], minlength=len(self.reasons)))])
        values = (cut - hits.bounds[hits.rows[cut]]).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), pa.array(values))
        return pa.RecordBatch.from_arrays([schema.reasons(self.reasons), *best.columns, lists], schema=VERDICT)


def judge(tables: Sequence[pa.RecordBatch], config: DecontaminationConfig) -> list[JudgedShard]:
    """Decide the rows of all shards: batches with `doc_id`, `hits` and `bytes`."""
    found = [Hits.of(table["hits"]) for table in tables]
    counted = [_enough(hits, config) for hits in found]
    phrases = _phrases(found, counted, config)
    judged = []
    for table, hits, counts in zip(tables, found, counted, strict=True):
        known = pc.is_in(hits.names(), value_set=phrases).to_numpy(zero_copy_only=False)
        common = counts & known & (hits.words <= config.common_words)
        counts = counts & ~common
        gone = np.bincount(hits.rows[counts], minlength=table.num_rows) > 0
        if config.action == "cut":
            sizes, removed = table["bytes"].to_numpy(), _cut_bytes(hits, counts)
            # A document of which nothing is left is none, whatever share may be cut.
            gone &= (removed > config.max_cut_share * sizes) | (removed == sizes)
        reasons = np.where(gone, CONTAMINATED, schema.KEPT).astype(object)
        cut = counts & ~gone[hits.rows]
        judged.append(JudgedShard(doc_ids=table["doc_id"], hits=hits, common=common, counts=counts, reasons=reasons, cut=cut))
    return judged


def _enough(hits: Hits, config: DecontaminationConfig) -> Mask:
    """The passages that would count if no phrase were common."""
    ignored = pc.is_in(hits.table["set"], value_set=pa.array(config.ignored_sets, pa.string()))
    enough = (hits.shares >= config.threshold) & (hits.words * hits.shares > config.min_item_words - SLACK)
    return np.asarray(enough & ~ignored.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _phrases(found: Sequence[Hits], counted: Sequence[Mask], config: DecontaminationConfig) -> pa.Array:
    """The short items that stand in more documents than an item does."""
    parts = []
    for number, (hits, counts) in enumerate(zip(found, counted, strict=True)):
        short = np.flatnonzero(counts & (hits.words <= config.common_words))
        columns = [hits.names().take(pa.array(short)), pa.array(np.full(len(short), number)), pa.array(hits.rows[short])]
        parts.append(pa.table(columns, names=["item", "shard", "row"]).group_by(["item", "shard", "row"]).aggregate([]))
    if not parts:
        return pa.array([], pa.string())
    documents = pa.concat_tables(parts).group_by("item").aggregate([("row", "count")])
    return documents.filter(pc.greater(documents["row_count"], config.common_documents))["item"].combine_chunks()


def _cut_bytes(hits: Hits, counts: Mask) -> Numbers:
    """Bytes of the union of each row's passages that count. [rows]"""
    sizes = np.zeros(len(hits.bounds) - 1, dtype=np.int64)
    chosen = np.flatnonzero(counts)
    chosen = chosen[np.lexsort((hits.starts[chosen], hits.rows[chosen]))]
    row, reached = -1, 0
    for at in chosen.tolist():
        reached = reached if row == hits.rows[at] else 0
        row = int(hits.rows[at])
        sizes[row] += max(0, int(hits.ends[at]) - max(reached, int(hits.starts[at])))
        reached = max(reached, int(hits.ends[at]))
    return sizes
