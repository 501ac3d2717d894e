"""Writes a stream of records as shards of documents, and the rejected records as tables beside them.

Purpose: a split is one shard. A split with much more than `shard_bytes` of text is written as several shards, so that memory
is bounded whatever the input holds.
Guarantee: each shard accounts for its records: read == kept + dropped + quarantined. A fault that takes more records with it
counts as all of these.
Cost: memory of one shard.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from tokenmill.pipeline.base import manifest, schema, shards
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.base.manifest import Counts, Shard
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.collect import scores
from tokenmill.pipeline.collect.records import OTHER_TYPE, RECORD_TYPES, Document, Record, Rejected, Skipped

ROLL = 1.5
"""A shard ends at this multiple of `shard_bytes`. It is above 1 because splits are planned by estimates."""
MOST_ROWS = 200_000
"""A shard also ends at this many records, because short and rejected records take memory as well."""
MOST_SCORES = 16
"""And at this multiple of `shard_bytes` of block scores, of which most pages have a few times the bytes of their text."""
MOST_COLUMNS = 100
"""Columns counted by name, because lines of JSON may name as many as they like: the first ones of a shard, and of those of all
shards of a source the ones with the most values. All others count under `OTHER_COLUMNS`."""
OTHER_COLUMNS = "(further columns)"
Table = Literal["dropped", "quarantined", "duplicates"]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A shard, and the tables of its rejected records."""

    shard: Shard
    rejected: dict[Table, Named]
    ids: bytes = b""
    """The ids of all its documents end to end, also of those removed since. Empty once `unique.write` has them."""
    removed: tuple[int, ...] = ()
    """Rows that were removed because their id repeats an earlier one, counted before any was removed."""
    removed_ids: tuple[str, ...] = ()
    """The ids of the removed rows, in hex."""
    losses: Losses = field(default_factory=Losses)
    """What was not read."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Values that did not fit into the metadata of documents, by column."""
    record_types: Mapping[str, int] = field(default_factory=dict)
    """Records of web archives, by their type."""

    def plain(self) -> dict[str, Any]:
        """As JSON values, without the ids that the shard itself holds."""
        tables = {table: [name, dataclasses.asdict(entry)] for table, (name, entry) in self.rejected.items()}
        return {
            "shard": manifest.shard_to_plain(self.shard),
            "rejected": tables,
            "removed": list(zip(self.removed, self.removed_ids, strict=True)),
            "losses": dataclasses.asdict(self.losses),
            "left_out": dict(self.left_out),
            "record_types": dict(self.record_types),
        }


def rejected_name(shard: str, table: Table) -> str:
    """Path of a shard's table of rejected records, until `publish` merges all of them."""
    return f".state/collect/{shard}.{table}.parquet"


def documents_name(shard: str) -> str:
    """Path of a shard of documents."""
    return f"documents/{shard}.parquet"


def write_rejected(root: Path, shard: str, table: Table, source: str, rows: list[Rejected]) -> Named:
    """Write the rejected records of a shard. They are published in other tables; these are compared with their hashes."""
    columns: dict[str, list[Any]] = {
        "source": [source] * len(rows),
        "position": [row.position for row in rows],
        "reason": [row.reason for row in rows],
        "message": [row.message for row in rows],
        "preview": [row.preview for row in rows],
        "rows": [row.rows for row in rows],
        "unread_bytes": [row.unread_bytes for row in rows],
        "at_least": [row.at_least for row in rows],
    }
    name = rejected_name(shard, table)
    return name, shards.write(root, name, pa.table(columns, schema=schema.REJECTED), durable=False)


@dataclass(kw_only=True)
class Writer:
    """Takes the records of one split in order and writes them as shards."""

    root: Path
    source: str
    split: str
    shard_bytes: int
    with_scores: bool = False
    """Whether scores of blocks are written beside the documents."""
    made: list[Made] = field(default_factory=list)
    _documents: list[Document] = field(default_factory=list)
    _rejected: list[Rejected] = field(default_factory=list)
    _text_bytes: int = 0
    _scores_bytes: int = 0
    _left_out: Counter[str] = field(default_factory=Counter)
    _types: Counter[str] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Add one record. Writes a shard when enough records are held."""
        if record.type is not None:
            self._types[record.type if record.type in RECORD_TYPES else OTHER_TYPE] += 1
        if isinstance(record, Skipped):
            return
        if isinstance(record, Document):
            if self._text_bytes + len(record.text) > ROLL * self.shard_bytes and self._documents:
                self._roll()
            self._documents.append(record)
            self._text_bytes += len(record.text)
            self._scores_bytes += len(record.scores)
            for column in record.left_out:
                self._left_out[column if column in self._left_out or len(self._left_out) < MOST_COLUMNS else OTHER_COLUMNS] += 1
        else:
            self._rejected.append(record)
        full = self._scores_bytes > MOST_SCORES * self.shard_bytes
        if full or len(self._documents) + len(self._rejected) >= MOST_ROWS:
            self._roll()

    def finish(self) -> list[Made]:
        """Write the remaining records. There is always at least one shard, even without documents."""
        if self._documents or self._rejected or not self.made:
            self._roll()
        elif self._types:
            types = self._types + Counter(self.made[-1].record_types)
            self.made[-1] = dataclasses.replace(self.made[-1], record_types=dict(sorted(types.items())))
        return self.made

    def _roll(self) -> None:
        shard = f"{self.split}-{len(self.made):04d}" if self.made else self.split
        ids = [schema.doc_id(self.source, document.identity) for document in self._documents]
        dropped = [row for row in self._rejected if not row.quarantined]
        broken = [row for row in self._rejected if row.quarantined]
        tables: dict[Table, Named] = {}
        if dropped:
            tables["dropped"] = write_rejected(self.root, shard, "dropped", self.source, dropped)
        if broken:
            tables["quarantined"] = write_rejected(self.root, shard, "quarantined", self.source, broken)
        name = documents_name(shard)
        counts = Counts(
            read=len(self._documents) + sum(row.rows for row in self._rejected),
            kept=len(self._documents),
            dropped=dict(sorted(_rows_by_reason(dropped).items())),
            quarantined=sum(row.rows for row in broken),
            bytes_in=self._text_bytes + sum(row.text_bytes for row in self._rejected),
            bytes_kept=self._text_bytes,
        )
        written: dict[str, FileEntry] = {name: shards.write(self.root, name, self._table(ids))}
        if self.with_scores:
            beside = scores.name(shard)
            packed = [document.scores for document in self._documents]
            written[beside] = shards.write(self.root, beside, scores.table(ids, packed))
        self.made.append(
            Made(
                shard=Shard(name=shard, files=written, counts=counts),
                rejected=tables,
                ids=b"".join(ids),
                losses=_losses(broken),
                left_out=dict(sorted(self._left_out.items())),
                record_types=dict(sorted(self._types.items())),
            )
        )
        self._documents, self._rejected, self._text_bytes, self._scores_bytes = [], [], 0, 0
        self._left_out, self._types = Counter(), Counter()

    def _table(self, ids: list[bytes]) -> pa.Table:
        rows = self._documents
        # The bytes are UTF-8 by the contract of `Document`. The cast checks this again.
        text = pa.array([row.text for row in rows], pa.large_binary()).cast(pa.large_string())
        columns = [
            pa.array(ids, schema.DOC_ID.type),
            pa.array([self.source] * len(rows), pa.string()).dictionary_encode(),
            pa.array([row.url for row in rows], pa.string()),
            text,
            pa.array([row.metadata for row in rows], pa.string()),
        ]
        return pa.table(columns, schema=schema.DOCUMENTS)


def _rows_by_reason(rejected: list[Rejected]) -> Counter[str]:
    rows: Counter[str] = Counter()
    for one in rejected:
        rows[one.reason] += one.rows
    return rows


def _losses(broken: list[Rejected]) -> Losses:
    """The losses among quarantined records. A record that was read and found broken is not one of them."""
    unread = [row for row in broken if row.unread_bytes or row.at_least or row.rows > 1]
    return Losses(
        rows=sum(row.rows for row in unread),
        estimate=sum(max(row.rows, row.estimate) for row in unread),
        unread_bytes=sum(row.unread_bytes for row in unread),
        at_least=any(row.at_least for row in unread),
    )
