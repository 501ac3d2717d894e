"""Reads the score shards of a corpus into runs of all documents alive, in survivor order.

Guarantee: a row alive without a signature, with a signature of another length, or with another `doc_id` is an error. No
document is kept because its signature is missing. A place (`PLACE_BITS`) leads back from any order to shard and row.
Cost: one read of the score shards, in workers, and of what the survivor policy names. On disk 24 bytes per document and 8 for
each of its survivor keys: 64 with the default policy. Bands are not held: `candidates` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.external import runs, sort
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.external.runs import Array, Range, Run
from tokenmill.pipeline.stages.dedup import survivor
from tokenmill.pipeline.stages.dedup.settings import DedupConfig
from tokenmill.pipeline.stages.dedup.signatures import check_settings, integers
from tokenmill.pipeline.stages.dedup.survivor import SurvivorCriterion

Scored = tuple[View, Named]
"""A shard and its scores."""
PLACE_BITS = 32
"""A place is the number of a shard in its high bits, and the number of a row among the shard's rows alive in the low ones."""
ROWS = 2**PLACE_BITS - 1
"""Selects the row of a place."""
WIDE = 2
"""Gathering and ranking hold two copies of all columns while they sort."""


@dataclass(frozen=True, kw_only=True)
class AllDocuments:
    """All documents alive, in survivor order."""

    runs: list[Run]
    """Columns of uint64: the survivor keys, of which the last two are the `doc_id`, then the place and both halves of `exact`,
    the 128-bit hash of what exact duplicates have in common. Ordered by all but `exact`."""
    keys: int
    """The number of survivor keys."""
    alive: npt.NDArray[np.int64]
    """[shards]: rows alive."""
    undated: int | None
    """Documents without a date; None where the policy does not ask for dates."""


@dataclass(frozen=True, kw_only=True)
class _Gathering:
    scored: Sequence[Scored]
    first: int
    """The number of the first of these shards."""
    criteria: Sequence[Sequence[SurvivorCriterion]]
    """For each shard."""
    config: DedupConfig
    left: Sequence[Run]
    path: Path


@dataclass(frozen=True, kw_only=True)
class _GatheredShards:
    run: Run
    alive: list[int]
    undated: int


def gather(
    scored: Sequence[Scored],
    config: DedupConfig,
    criteria: Sequence[Sequence[SurvivorCriterion]],
    means: Means,
    left: Sequence[Run] = (),
) -> AllDocuments:
    """Read the columns of all rows alive but those that `left`: runs that begin with their places. `criteria`: those of
    `survivor.criteria`. Raises Misaligned, CorruptFile.
    """
    keys = survivor.width(criteria[0]) if criteria else 2
    tasks = [
        _Gathering(
            scored=scored[part],
            first=part.start,
            criteria=criteria[part],
            config=config,
            left=left,
            path=means.folder / f"gathered-{number}",
        )
        for number, part in enumerate(grouped(scored, means.rows(["<u8"] * WIDE * (keys + 3))))
    ]
    parts = means.executor.map(_gather, tasks)
    dated = any(one.name == "date" for one in criteria[0]) if criteria else False
    return AllDocuments(
        runs=sort.merge(means, [part.run for part in parts], "gathered", by=keys + 1),
        keys=keys,
        alive=np.array([rows for part in parts for rows in part.alive], dtype=np.int64),
        undated=sum(part.undated for part in parts) if dated else None,
    )


def grouped(scored: Sequence[Scored], rows: int) -> Iterator[slice]:
    """Slices of consecutive shards of about `rows` rows each; a larger shard is one by itself."""
    start = held = 0
    for number, (view, _) in enumerate(scored):
        found = view.documents[1].rows or 0
        if number > start and held + found > rows:
            yield slice(start, number)
            start, held = number, 0
        held += found
    if scored:
        yield slice(start, len(scored))


def of_shard(number: int) -> Range:
    """The places of a shard."""
    return Range(first=number << PLACE_BITS, last=number << PLACE_BITS | ROWS)


def rows_of(places: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The row of each place among the rows alive of its shard."""
    return (places & np.uint64(ROWS)).astype(np.int64)


def leaves(left: Sequence[Run], number: int) -> npt.NDArray[np.int64]:
    """The rows of a shard, counted among those alive, that `left` (see `gather`)."""
    return np.concatenate([np.empty(0, dtype=np.int64), *(rows_of(run.within(of_shard(number))[0]) for run in left)])


def _gather(task: _Gathering) -> _GatheredShards:
    blocks: list[list[Array]] = []
    alive, undated = [], 0
    for number, (one, criteria) in enumerate(zip(task.scored, task.criteria, strict=True)):
        columns, missing = columns_of(*one, task.first + number, criteria, task.config)
        alive.append(len(columns[0]))
        gone = leaves(task.left, task.first + number)
        blocks.append([np.delete(column, gone) for column in columns])
        undated += missing
    columns = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
    return _GatheredShards(run=runs.write_sorted(task.path, *columns, by=len(columns) - 2), alive=alive, undated=undated)


def columns_of(
    view: View, named: Named, number: int, criteria: Sequence[SurvivorCriterion], config: DedupConfig
) -> tuple[list[Array], int]:
    """One shard's rows alive, as `AllDocuments.runs` has them, in their order; and how many have no date."""
    wanted = ["doc_id", "metadata"] if any(one.name == "date" for one in criteria) else ["doc_id"]
    alive = view.read(wanted)
    table = _read_scores(view, named, config).take(pa.array(alive.rows)).combine_chunks()
    shards.align(view.documents, alive.table["doc_id"], named, table["doc_id"])
    _check(table, named[0], config)
    keys, undated = survivor.keys(criteria, view, alive, table)
    places = (np.uint64(number) << np.uint64(PLACE_BITS)) + np.arange(len(alive.rows), dtype=np.uint64)
    return [*keys, places, *integers(table["exact"], 2).T], undated


def _read_scores(view: View, named: Named, config: DedupConfig) -> pa.Table:
    table = shards.read(view.root, named)
    check_settings(table.schema, config, str(view.root / named[0]))
    if table.num_rows != view.documents[1].rows:
        raise CorruptFile(f"{view.root / named[0]}: {table.num_rows} rows of signatures for {view.documents[1].rows} documents")
    return table


def _check(table: pa.Table, name: str, config: DedupConfig) -> None:
    """Raises CorruptFile if a signature is missing in whole or in part."""
    for column in ("exact", "units", "bytes"):
        if table[column].null_count:
            row = pc.index(table[column].is_null(), True).as_py()
            raise CorruptFile(f"{name}: {table[column].null_count} rows alive have no `{column}`, the first: {_id(table, row)}")
    banded = np.asarray(table["bands"].is_valid().to_numpy(), dtype=np.bool_)
    wrong = np.flatnonzero(banded != (table["units"].to_numpy() >= config.scheme.ngram))
    if len(wrong):
        raise CorruptFile(
            f"{name}: {len(wrong)} rows alive whose `bands` do not fit their `units`, the first: {_id(table, wrong[0])}; "
            f"texts of at least {config.scheme.ngram} {config.scheme.shingle} have bands, and no others"
        )


def _id(table: pa.Table, row: int) -> str:
    identity: bytes = table["doc_id"][int(row)].as_py()
    return f"doc_id {identity.hex()}"
