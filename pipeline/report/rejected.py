"""Records that did not become documents: dropped by a rule of collection, or quarantined because they are broken.

Guarantee: counts come from the published tables, per source and reason; a fault counts as the records that it took with it.
For each source and reason a few records are shown, evenly spaced in the order of the input. Memory: one table at a time.
Cost: one read of each table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import schema, shards
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.corpus import DROPPED, QUARANTINE, CorpusFolder
from tokenmill.pipeline.report.fates import coded

RECORDS = 4
"""Records taken from each source and reason."""
SHOWN = 60
"""The largest number of records shown in all."""
MESSAGE_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class ShownRecord:
    """One row of a table as it is shown. `preview`: the first bytes of the record. For the numbers see `schema.REJECTED`."""

    source: str
    position: str
    reason: str
    message: str
    preview: bytes
    rows: int
    unread_bytes: int
    at_least: bool


@dataclass(kw_only=True)
class RejectedRecords:
    """`counts`: records by (source, reason). `records`: some records of each."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    records: list[ShownRecord] = field(default_factory=list)


def dropped(corpus: CorpusFolder) -> RejectedRecords:
    """The records that a rule of collection dropped."""
    return _read(corpus, (named for named in corpus.collect.files.items() if named[0] == DROPPED))


def quarantined(corpus: CorpusFolder) -> RejectedRecords:
    """The records that are broken."""
    return _read(corpus, (named for named in corpus.collect.entries() if named[0].startswith(f"{QUARANTINE}/")))


def _read(corpus: CorpusFolder, tables: Iterable[Named]) -> RejectedRecords:
    found = RejectedRecords()
    for named in tables:
        table = _with_numbers(shards.read(corpus.published, named))
        sources, source_names = coded(table["source"])
        reasons, reason_names = coded(table["reason"])
        stands_for = np.asarray(table["rows"].to_numpy())
        groups = np.stack([sources, reasons], axis=1)
        for source, reason in np.unique(groups, axis=0):
            rows = np.flatnonzero((sources == source) & (reasons == reason))
            found.counts[source_names[source], reason_names[reason]] += sum(stands_for[rows].tolist())
            for at in np.unique(np.linspace(0, len(rows) - 1, RECORDS).astype(np.int64)):
                record = table.slice(int(rows[at]), 1).to_pylist()[0]
                found.records.append(
                    ShownRecord(
                        **{
                            **record,
                            "position": corpus.censor.value(record["position"]),
                            "message": corpus.censor.text(record["message"])[:MESSAGE_CHARACTERS],
                            "preview": corpus.censor.preview(record["preview"]),
                        }
                    )
                )
    found.records.sort(key=lambda record: (record.source, record.reason))
    found.records = found.records[:: max(1, -(-len(found.records) // SHOWN))]
    return found


def _with_numbers(table: pa.Table) -> pa.Table:
    """The table with the columns of numbers, which those of format 1 lack: each of their rows is one record, wholly read."""
    for name, value in (("rows", 1), ("unread_bytes", 0), ("at_least", False)):
        if name not in table.column_names:
            kind = schema.REJECTED.field(name).type
            table = table.append_column(name, pa.array([value] * len(table), kind))
    return table
