"""Which units are removed from the documents of a shard, and the evidence.

Guarantee: a repeated unit is removed from every document of its source, or from all but the first one that contains it. A
document is dropped if units were removed from it and only white space is left.
Cost: one read of a shard's scores and one search per unit. The text is read only if the shard holds a first document, to show
an example.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tokenmill.pipeline.base import schema
from tokenmill.pipeline.base.edits import part
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.external.runs import Range, Run
from tokenmill.pipeline.stages.censor import Censor
from tokenmill.pipeline.stages.repeats import scores
from tokenmill.pipeline.stages.repeats.counts import Repeated
from tokenmill.pipeline.stages.stage import one_batch

ONLY_REPEATS = "only_repeats"
EXAMPLE_CHARACTERS = 200
REPEATED = ("<u8", "<i8", "<i8", "<i8", "<i8")
"""A run of the columns of `Repeated`."""

VERDICT = pa.schema([schema.REASON, pa.field("removed", pa.list_(pa.int32()))])
"""`removed`: which of the row's units are removed, as positions in the column `units` of its scores."""

EVIDENCE = pa.schema(
    [
        pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("documents", pa.int64(), nullable=False),
        pa.field("occurrences", pa.int64(), nullable=False),
        pa.field("removed", pa.int64(), nullable=False),
        pa.field("removed_bytes", pa.int64(), nullable=False),
        pa.field("first_doc_id", schema.DOC_ID.type, nullable=False),
        pa.field("example", pa.string(), nullable=False),
    ]
)
"""One row per repeated unit: how many documents of its source contain it, how often it occurs, how many of its occurrences
were removed and their bytes, the first document that contains it, and the unit's beginning there."""


@dataclass(frozen=True, kw_only=True)
class Decide:
    """Decide a shard, the `number`-th of its source, with the run of the source's `repeated` units. Picklable."""

    view: View
    named: Named
    number: int
    repeated: Run
    firsts: Run
    """Shards, and the units (indices into `repeated`) whose first document they hold."""
    keep_first: bool
    censor: Censor


@dataclass(frozen=True, kw_only=True)
class DecidedShard:
    """Verdicts of the rows alive, and for each removed unit (an index into `Repeated`) how often it was removed, and the
    bytes.

    `first`: the units whose first document is in this shard; `doc_ids` and `examples` belong to these.
    """

    verdict: pa.RecordBatch
    units: npt.NDArray[np.int64]
    removed: npt.NDArray[np.int64]
    removed_bytes: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    doc_ids: pa.Array
    examples: pa.Array


def decide(task: Decide) -> DecidedShard:
    """Decide one shard. Raises what reading raises."""
    known = Repeated(*task.repeated.columns())
    _, first = task.firsts.within(Range(first=task.number, last=task.number))
    alive = task.view.read(["doc_id", "text"] if len(first) else ["doc_id"])
    table = scores.read(task.view, task.named, alive)
    units = scores.units_of(table["units"])
    place = np.searchsorted(known.hashes, units.hashes)
    here = place < len(known.hashes)
    here[here] = known.hashes[place[here]] == units.hashes[here]
    is_first = here.copy()
    is_first[here] = (known.shards[place[here]] == task.number) & (known.rows[place[here]] == units.rows[here])
    goes = here & ~is_first if task.keep_first else here
    gone, counts = np.unique(place[goes], return_counts=True)
    sizes = np.bincount(np.searchsorted(gone, place[goes]), (units.ends - units.starts)[goes], minlength=len(gone))
    # For each unit whose first document is in this shard: its first occurrence there.
    _, chosen = np.unique(place[is_first], return_index=True)
    chosen = np.flatnonzero(is_first)[chosen]
    batch = one_batch(alive.table)
    return DecidedShard(
        verdict=_verdict(units, goes, table["rest_bytes"].to_numpy()),
        units=gone,
        removed=counts,
        removed_bytes=sizes.astype(np.int64),
        first=first,
        doc_ids=batch["doc_id"].take(pa.array(known.rows[first])),
        examples=_examples(batch["text"], units, chosen, task.censor) if len(first) else pa.array([], pa.string()),
    )


def _verdict(units: scores.Units, goes: npt.NDArray[np.bool_], rest_bytes: npt.NDArray[np.int64]) -> pa.RecordBatch:
    rows = len(rest_bytes)
    removed = np.bincount(units.rows[goes], minlength=rows)
    nothing = (removed > 0) & (removed == np.diff(units.bounds)) & (rest_bytes == 0)
    places = (np.arange(len(goes)) - units.bounds[units.rows])[goes].astype(np.int32)
    bounds = np.concatenate([[0], np.cumsum(removed)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(bounds), pa.array(places))
    reason = schema.reasons(np.where(nothing, ONLY_REPEATS, schema.KEPT).astype(object))
    return pa.RecordBatch.from_arrays([reason, lists], schema=VERDICT)


def _examples(texts: pa.LargeStringArray, units: scores.Units, chosen: npt.NDArray[np.int64], censor: Censor) -> pa.Array:
    """The beginning of each chosen unit, without personal data that the corpus masks."""
    rows, places = np.unique(units.rows[chosen], return_inverse=True)
    # The whole texts are searched, since a value may go over several units.
    whole = texts.take(pa.array(rows)).to_pylist()
    hidden, stored = censor.edits_of(whole), [text.encode() for text in whole]
    spans = zip(places.tolist(), units.starts[chosen].tolist(), units.ends[chosen].tolist(), strict=True)
    examples = (part(stored[at], hidden[at], start, end).decode().strip() for at, start, end in spans)
    return pa.array([example[:EXAMPLE_CHARACTERS] for example in examples], pa.string())
