"""Merges the tables of rejected records of all shards, and enforces the ceiling on quarantine.

Guarantee: rows are in document order. The tables are written before the ceiling is checked, so that users can inspect them.
Cost: memory of one shard's table.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base import files, schema, shards
from tokenmill.pipeline.base.errors import QuarantineCeiling
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.collect.write import Made, Table

DROPPED = "collect/dropped.parquet"
QUARANTINE = "quarantine"
ROW_GROUP = 65_536
BROKEN: tuple[Table, ...] = ("quarantined", "duplicates")
EXAMPLES = 3


def rejected(root: Path, made: Sequence[Made]) -> dict[str, FileEntry]:
    """Write the dropped records of all shards in one table, and for each source with quarantined records one table of these."""
    published = {DROPPED: _merge(root, DROPPED, _tables(made, ("dropped",)))}
    for source, shards_of in itertools.groupby(made, key=lambda one: one.shard.source):
        parts = _tables(list(shards_of), BROKEN)
        if parts:
            name = f"{QUARANTINE}/{source}.parquet"
            published[name] = _merge(root, name, parts)
    return published


def check_ceiling(root: Path, made: Sequence[Made], ceiling: float) -> None:
    """Raises QuarantineCeiling if a larger share of the records than `ceiling` is quarantined."""
    read = sum(one.shard.counts.read for one in made)
    broken = sum(one.shard.counts.quarantined for one in made)
    if broken <= ceiling * read:
        return
    reasons: dict[str, int] = {}
    examples: list[str] = []
    for named in _tables(made, BROKEN):
        table = shards.read(root, named, ["source", "position", "reason", "message"])
        for row in table["reason"].value_counts().to_pylist():
            reasons[row["values"]] = reasons.get(row["values"], 0) + row["counts"]
        for row in table.slice(0, EXAMPLES - len(examples)).to_pylist():
            examples.append(f"{row['source']}: {row['position']}: {row['reason']} ({row['message']})")
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    raise QuarantineCeiling(
        f"collect: {broken} of {read} records are quarantined ({broken / read:.2%}), the ceiling is {ceiling:.2%}: {counts}.\n"
        + "".join(f"  {example}\n" for example in examples)
        + f"All of them are in {root / QUARANTINE}. Fix the input, or raise collect.quarantine_ceiling."
    )


def _tables(made: Sequence[Made], tables: tuple[Table, ...]) -> list[Named]:
    return [one.rejected[table] for one in made for table in tables if table in one.rejected]


def _merge(root: Path, name: str, parts: Sequence[Named]) -> FileEntry:
    rows = 0
    with (
        files.create(root / name) as out,
        pq.ParquetWriter(out, schema.REJECTED, compression="zstd", write_page_checksum=True) as writer,
    ):
        for table in _in_row_groups(shards.read(root, part) for part in parts):
            writer.write_table(table, row_group_size=ROW_GROUP)
            rows += table.num_rows
    return out.entry(rows=rows)


def _in_row_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small tables concatenated, so that a table of many shards has few row groups."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(one.num_rows for one in held) >= ROW_GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)
