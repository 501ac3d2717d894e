"""Parquet shards: writing with page checksums, verified reading, and the rows alive with their edits applied.

Purpose: every stage reads the results of earlier stages through this module.
Guarantee: the SHA-256 of the whole file is compared with its manifest before the file is parsed; tables that belong together
are compared by `doc_id`.
Cost: one read per file; memory for one shard (`shard_bytes` of text plus one document).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenmill.pipeline.base import files, schema
from tokenmill.pipeline.base.edits import Edit, apply, merge
from tokenmill.pipeline.base.errors import CorruptFile, Misaligned
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Manifest, source_of

Named = tuple[str, FileEntry]
"""A published file: its path below the corpus, and its size, hash and rows."""


def write(root: Path, name: str, table: pa.Table, *, durable: bool = True) -> FileEntry:
    """Write `table` as `root / name`, with zstd, page checksums and one row group. `durable`: see `files.create`.

    Returns the entry for the manifest. Raises OSError.
    """
    with files.create(root / name, durable=durable) as out:
        pq.write_table(
            table,
            out,
            compression="zstd",
            write_page_checksum=True,
            row_group_size=max(1, table.num_rows),
            use_dictionary=[field.name for field in table.schema if pa.types.is_dictionary(field.type)],
        )
    return out.entry(rows=table.num_rows)


def read(root: Path, named: Named, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a published table, or only its `columns`.

    Raises CorruptFile if the file is missing, or holds other bytes or rows than its manifest names.
    """
    name, entry = named
    data = _owned_by_arrow(files.read_verified(root, name, entry))
    try:
        # Not `pq.read_table`, which imports Arrow's data sets and with them pandas: 0.4 s of each process.
        with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
            table = file.read(columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise CorruptFile(f"{root / name}: is not a Parquet table ({error})") from error
    if table.num_rows != entry.rows:
        raise CorruptFile(f"{root / name}: {table.num_rows} rows, its manifest names {entry.rows}")
    return table


def _owned_by_arrow(data: bytes) -> pa.Buffer:
    """A copy that Arrow's threads can release at any time.

    Bytes of Python's are released under the interpreter's lock, and a thread that asks for it while the interpreter ends
    ends the process by SIGABRT, after all work was done (seen in 1 of 120 runs on a busy machine).
    """
    buffer = pa.allocate_buffer(len(data))
    memoryview(buffer).cast("B")[:] = data
    return buffer


def align(first: Named, ids: pa.ChunkedArray, second: Named, others: pa.ChunkedArray) -> None:
    """Compare the `doc_id` columns of two tables. Raises Misaligned, naming the first row that differs."""
    if ids.equals(others):
        return
    pairs = itertools.zip_longest(ids.to_pylist(), others.to_pylist())
    row, (a, b) = next((row, pair) for row, pair in enumerate(pairs) if pair[0] != pair[1])
    show = [None if value is None else value.hex() for value in (a, b)]
    raise Misaligned(f"row {row}: {first[0]} has doc_id {show[0]}, {second[0]} has {show[1]}")


@dataclass(frozen=True, kw_only=True)
class Alive:
    """The rows of a shard that are alive: those that all earlier stages kept."""

    table: pa.Table
    """[alive]: `doc_id` and the columns asked for."""
    rows: npt.NDArray[np.int64]
    """int64 [alive]: their row numbers in the shard."""
    total: int
    """The number of rows in the shard."""
    edits: dict[int, list[Edit]]
    """The edits applied, by row number in the shard."""

    def spread(self, batch: pa.RecordBatch | pa.Table) -> pa.Table:
        """Spread `batch`, which has one row per row alive, over all rows of the shard; other rows are null. Returns [total]."""
        where = np.full(self.total, -1, dtype=np.int64)
        where[self.rows] = np.arange(len(self.rows), dtype=np.int64)
        return pa.Table.from_batches([batch] if isinstance(batch, pa.RecordBatch) else batch.to_batches(), batch.schema).take(
            pa.array(where, mask=where < 0)
        )


@dataclass(frozen=True, kw_only=True)
class View:
    """One shard as a stage sees it: the rows that all earlier stages kept, with their edits applied. Picklable."""

    root: Path
    name: str
    documents: Named
    verdicts: Named | None = None
    edits: tuple[Named, ...] = ()

    @property
    def source(self) -> str:
        """The source that the documents are from."""
        return source_of(self.name)

    @property
    def text_identity(self) -> dict[str, Any]:
        """Hashes of all that the text of a row depends on, whether or not the row is alive."""
        return {"documents": self.documents[1].sha256, "edits": [entry.sha256 for _, entry in self.edits]}

    @property
    def identity(self) -> dict[str, Any]:
        """Hashes of all that the result of `read` depends on."""
        return {**self.text_identity, "verdicts": self.verdicts[1].sha256 if self.verdicts else None}

    def read(self, columns: Sequence[str] = ("doc_id", "text")) -> Alive:
        """Read the rows alive, with `doc_id` and `columns`; edits are applied if "text" is among them.

        Raises
        ------
        CorruptFile
            A file is missing or holds other bytes than its manifest names.
        Misaligned
            The verdicts have other documents than the shard, or an edit names a document that it does not hold.
        """
        wanted = list(dict.fromkeys(("doc_id", *columns)))
        table = read(self.root, self.documents, wanted)
        total = table.num_rows
        rows = np.arange(total, dtype=np.int64)
        ids = table["doc_id"]
        if self.verdicts is not None:
            verdicts = read(self.root, self.verdicts, ["doc_id", "reason"])
            align(self.documents, ids, self.verdicts, verdicts["doc_id"])
            rows = np.flatnonzero(schema.alive(verdicts["reason"]))
            table = table.take(pa.array(rows))
        edits = self._edits(ids, rows) if "text" in wanted else {}
        if edits:
            place = {int(row): at for at, row in enumerate(rows)}
            texts = table["text"].to_pylist()
            for row, spans in edits.items():
                texts[place[row]] = apply(texts[place[row]].encode(), spans).decode()
            table = table.set_column(table.schema.get_field_index("text"), "text", pa.array(texts, pa.large_string()))
        return Alive(table=table.combine_chunks(), rows=rows, total=total, edits=edits)

    def text_bytes(self, alive: Alive) -> npt.NDArray[np.int64]:
        """The bytes of each text of `alive`, which was read from this view, with its edits. No text is made. int64 [alive]

        Raises what `read` raises.
        """
        table = read(self.root, self.documents, ["doc_id", "text"])
        lengths = np.array(pc.binary_length(table["text"]).to_numpy(), dtype=np.int64)
        for row, edits in self._edits(table["doc_id"], alive.rows).items():
            lengths[row] += sum(len(one.replacement) - (one.end - one.start) for one in edits)
        return lengths[alive.rows]

    def _edits(self, ids: pa.ChunkedArray, alive: npt.NDArray[np.int64]) -> dict[int, list[Edit]]:
        """The edits of the rows `alive`, by row number. Most edits are of rows that were dropped."""
        found: dict[int, list[Edit]] = {}
        for named in self.edits:
            table = read(self.root, named)
            places = pc.index_in(table["doc_id"], value_set=ids.combine_chunks())
            if places.null_count:
                lost = table["doc_id"].filter(places.is_null())[0].as_py().hex()
                raise Misaligned(f"{named[0]} edits doc_id {lost}, which {self.name} does not hold")
            rows = places.to_numpy()
            mine = np.flatnonzero(np.isin(rows, alive))
            for row, edit in zip(rows[mine].tolist(), table.take(pa.array(mine)).to_pylist(), strict=True):
                found.setdefault(row, []).append(Edit(edit["start"], edit["end"], edit["replacement"].encode()))
        return {row: merge(spans) for row, spans in sorted(found.items())}


def views(root: Path, before: Sequence[Manifest]) -> list[View]:
    """The shards of the corpus in document order, as a stage sees them that runs after the stages `before`."""
    tables: dict[str, dict[str, Named]] = {}
    edits: dict[str, list[Named]] = {}
    documents: dict[str, Named] = {}
    for made in before:
        for shard in made.shards:
            for name, entry in shard.files.items():
                if name.startswith("documents/"):
                    documents[shard.name] = (name, entry)
                elif name.startswith(f"{made.stage}/verdicts/"):
                    tables.setdefault(shard.name, {})["verdicts"] = (name, entry)
                elif name.startswith(f"{made.stage}/edits/"):
                    edits.setdefault(shard.name, []).append((name, entry))
    return [
        View(
            root=root,
            name=name,
            documents=named,
            verdicts=tables.get(name, {}).get("verdicts"),
            edits=tuple(edits.get(name, ())),
        )
        for name, named in documents.items()
    ]
