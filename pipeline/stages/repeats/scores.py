"""Score columns: the units of every text by hash and position, and their way back from score shards to arrays.

Guarantee: a row alive without its units is an error. No unit stays in the text because its hash is missing.
Cost: one pass over the text (`kernels.dedup.units`). On disk, a unit takes 8 bytes and about 6 more for its position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.shards import Alive, Named, View
from tokenmill.pipeline.kernels.dedup import units
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.words import classes
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.stage import one_batch

Integer = TypeVar("Integer", bound=np.integer[Any])

NEWLINES = {"lines": 1, "paragraphs": 2}
KEY = np.array([0x756E697473206F66, 0x7265706561747321], dtype=np.uint64)

SCORES = pa.schema(
    [
        pa.field(
            "units",
            pa.list_(
                pa.struct([("hash", pa.uint64()), *((name, pa.int64()) for name in ("start", "end", "before", "after"))]),
            ),
        ),
        pa.field("rest_bytes", pa.int64()),
        pa.field("bytes", pa.int64()),
    ]
)
"""`units`: parts of the text with at least `min_characters` and a letter or a digit: their bytes [start, end), and the
newlines before and after them. `rest_bytes`: bytes of the other parts, without white space around them. `bytes`: bytes of the
text."""


@dataclass(frozen=True, kw_only=True)
class UnitGroups:
    """Distinct units in ascending order of hash: how many rows contain each, how often it occurs, and the first such row."""

    hashes: npt.NDArray[np.uint64]
    documents: npt.NDArray[np.int64]
    occurrences: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Units:
    """The units of the rows of a batch: row i has the units bounds[i] to bounds[i + 1]."""

    hashes: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The row of each unit."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    def grouped(self) -> UnitGroups:
        """The units grouped by hash."""
        # A stable sort, so that rows ascend within a hash.
        order = np.argsort(self.hashes, kind="stable")
        hashes, rows = self.hashes[order], self.rows[order]
        begins = run_starts(hashes)
        new_row = np.diff(rows, prepend=-1) != 0
        new_row[begins] = True
        return UnitGroups(
            hashes=hashes[begins],
            documents=sums(new_row.astype(np.int64), begins),
            occurrences=np.diff(begins, append=len(hashes)),
            first=rows[begins],
        )


def run_starts(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Where runs of equal values begin: int64 [runs]."""
    new = np.ones(len(hashes), dtype=np.bool_)
    new[1:] = hashes[1:] != hashes[:-1]
    return np.flatnonzero(new)


def sums(values: npt.NDArray[Integer], begins: npt.NDArray[np.int64]) -> npt.NDArray[Integer]:
    """The sums of the runs that begin at `begins`: [runs], of the dtype of `values`."""
    return np.add.reduceat(values, begins) if len(begins) else values[:0]


def split(texts: pa.LargeStringArray, config: RepeatsConfig) -> pa.RecordBatch:
    """The score columns for a column of texts."""
    data, offsets = utf8(texts)
    found, work = units.make(offsets, config.min_characters)
    bounds = np.zeros(len(texts) + 1, dtype=np.int64)
    rest_bytes = np.zeros(len(texts), dtype=np.int64)
    least, kinds = config.min_characters, classes.tables().classes
    units.split(data, offsets, NEWLINES[config.unit], least, kinds, KEY, work, found, bounds, rest_bytes)
    kind = SCORES.field("units").type
    columns = pa.StructArray.from_arrays([pa.array(part[: bounds[-1]]) for part in found], fields=list(kind.value_type))
    lists = pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), columns, type=kind)
    return pa.RecordBatch.from_arrays([lists, pa.array(rest_bytes), pa.array(np.diff(offsets))], schema=SCORES)


def units_of(column: pa.ListArray) -> Units:
    """The column `units` as arrays."""
    hashes, starts, ends, before, after = (part.to_numpy() for part in column.flatten().flatten())
    bounds = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy())]).astype(np.int64)
    return Units(hashes=hashes, starts=starts, ends=ends, before=before, after=after, bounds=bounds)


def read(view: View, named: Named, alive: Alive) -> pa.RecordBatch:
    """The scores of the rows alive, which were read from `view`. Raises Misaligned, CorruptFile."""
    table = shards.read(view.root, named).take(pa.array(alive.rows)).combine_chunks()
    shards.align(view.documents, alive.table["doc_id"], named, table["doc_id"])
    missing = table["units"].null_count
    if missing:
        raise CorruptFile(f"{view.root / named[0]}: {missing} rows alive have no `units`; run the build again")
    return one_batch(table.drop_columns(["doc_id"]))
