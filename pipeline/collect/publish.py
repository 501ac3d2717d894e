"""Merges the tables of rejected records of all shards, and enforces the ceiling on quarantine.

Guarantee: rows are in document order. The tables are written before the ceiling is checked, so that users can inspect them.
Cost: memory of one shard's table.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base import files, schema, shards
from tokenmill.pipeline.base.errors import QuarantineCeiling
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.collect import unique
from tokenmill.pipeline.collect.write import Made, Table
from tokenmill.pipeline.stages.censor import Censor

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


def check_ceiling(root: Path, made: Sequence[Made], ceiling: float, censor: Censor) -> None:
    """Raises QuarantineCeiling if a larger share of the records than `ceiling` is quarantined.

    Records that were not read are among them: as many as there are where that is known, else as many as estimated.
    """
    read = sum(one.shard.counts.read for one in made)
    broken = sum(one.shard.counts.quarantined for one in made)
    losses = Losses.total(one.losses for one in made)
    unknown = losses.unknown
    if broken + unknown <= ceiling * (read + unknown):
        return
    reasons: Counter[str] = Counter()
    examples: list[str] = []
    for named in _tables(made, BROKEN):
        table = shards.read(root, named, ["source", "position", "reason", "message", "rows"])
        for reason, rows in zip(table["reason"].to_pylist(), table["rows"].to_pylist(), strict=True):
            reasons[reason] += rows
        for row in table.slice(0, EXAMPLES - len(examples)).to_pylist():
            examples.append(censor.text(f"{row['source']}: {row['position']}: {row['reason']} ({row['message']})"))
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    least = "at least " if losses.at_least else ""
    guess = f", about {broken + unknown} of {read + unknown} by estimate" if unknown else ""
    raise QuarantineCeiling(
        f"collect: {least}{broken} of {read} records are quarantined{guess} ({(broken + unknown) / (read + unknown):.2%}), the "
        f"ceiling is {ceiling:.2%}: {counts}.\n"
        + (f"  {losses}.\n" if losses else "")
        + "".join(f"  {example}\n" for example in examples)
        + f"All of them are in {root / QUARANTINE}. Fix the input, or raise collect.quarantine_ceiling."
        + (f" {unique.ADVICE}" if unique.REASON in reasons else "")
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
