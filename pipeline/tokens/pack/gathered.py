"""Gather the encoded shards of a source into few files in the order of places, so that a token shard reads few ranges.

Purpose: shuffled, each token shard has documents of every encoded shard. Read from there, the work would grow with the square
of their number. Gathered in rounds of bounded fan-in, each file is opened once in a round, and a token shard reads its range of
at most `Means.fan_in` files.
Guarantee: the documents in a range of places, and their order, are those of the encoded shards, without those to leave out. Ids
are compared with their checksums each time they are read. The files are for the run that wrote them alone.
Cost: each round reads and writes the ids once. Places are a hash, so equal ranges of them hold about as much; a task holds one
range, and in the first round the documents tables of its encoded shards.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import files, shards
from tokenmill.pipeline.base.shards import Named
from tokenmill.pipeline.external import runs
from tokenmill.pipeline.external.means import Means
from tokenmill.pipeline.tokens import Ids, IdType, offsets
from tokenmill.pipeline.tokens.pack.encoded import ENCODED, bodies

READ_AGAIN = 8
"""Most token shards of a source that read its encoded shards, where these are so few that they need not be gathered."""
BATCH_ROWS = 65_536
DOCUMENT_BYTES = 400
"""Memory for the row of a document in a documents table (approximate)."""
SHARE = 8
"""A block of ids takes this part of a worker's memory: it is held as read, in order, and as written."""
MOST_BLOCK_BYTES = 2**28
"""And no more than this, so that the addresses of its documents fit into one array of strings."""
DOCUMENTS_AT_ONCE = 1024
LAST_PLACE = 2**64
"""Places are below."""
PLAIN = pa.schema([field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in ENCODED])
"""`ENCODED` without dictionaries, which differ from shard to shard."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """An encoded shard of documents. Picklable.

    `first_token`: where its documents begin in the source's run of tokens in the split, in document order.
    """

    shard: str
    payload: str
    documents: Named
    first_token: int
    forgotten: tuple[int, ...]
    """Rows of its table to leave out. They still count for where shards begin, so forgetting moves no other document."""


@dataclass(frozen=True, kw_only=True)
class GatheredPart:
    """The documents of several encoded shards in the order of places. Picklable. `table`: of `PLAIN`, in Arrow's format."""

    table: str
    payload: str


@dataclass(frozen=True, kw_only=True)
class _GatherTask:
    root: Path
    parts: tuple[Part | GatheredPart, ...]
    into: GatheredPart
    dtype: IdType
    block_bytes: int


def gather(
    root: Path, parts: Sequence[Part | GatheredPart], token_shards: int, dtype: IdType, name: str, means: Means
) -> list[Part | GatheredPart]:
    """The encoded shards `parts` of a source, or at most `means.fan_in` files with their documents in the folder of `means`.

    `token_shards`: how many will read them. `name`: what the files are called. Raises CorruptFile, OSError.
    """
    left: list[Part | GatheredPart] = list(parts)
    turn = 0
    while len(left) > means.fan_in or (token_shards > READ_AGAIN and not turn):
        groups = list(_groups(left, means))
        tasks = [
            _GatherTask(
                root=root,
                parts=group,
                into=_named(root, means.folder / f"{name}-{turn}-{number}"),
                dtype=dtype,
                block_bytes=max(1, min(means.memory_bytes // SHARE, MOST_BLOCK_BYTES)),
            )
            for number, group in enumerate(groups)
        ]
        done = means.executor.map(_gather, tasks)
        for one in left:
            if isinstance(one, GatheredPart):
                files.remove(root / one.table, durable=False)
                files.remove(root / one.payload, durable=False)
        left, turn = list(done), turn + 1
    return left


def _named(root: Path, path: Path) -> GatheredPart:
    name = path.relative_to(root).as_posix()
    return GatheredPart(table=f"{name}.arrow", payload=f"{name}.bin")


def _groups(parts: Sequence[Part | GatheredPart], means: Means) -> Iterator[tuple[Part | GatheredPart, ...]]:
    """Groups of at least two, if there are two: as many as workers can share, and as few as fan-in and memory allow."""
    most = min(means.fan_in, max(2, -(-len(parts) // means.executor.workers)))
    group: list[Part | GatheredPart] = []
    rows = 0
    for part in parts:
        more = (part.documents[1].rows or 0) if isinstance(part, Part) else 0
        if len(group) == most or (len(group) > 1 and (rows + more) * DOCUMENT_BYTES > means.memory_bytes // 2):
            yield tuple(group)
            group, rows = [], 0
        group.append(part)
        rows += more
    if group:
        yield tuple(group)


def table_of(root: Path, part: Part | GatheredPart) -> pa.Table:
    """The documents of a part in the order of places, of schema `PLAIN`; those of a gathered file are mapped and not read.

    `token_offset` is the place in the part's payload. Raises CorruptFile.
    """
    if isinstance(part, GatheredPart):
        return pa.ipc.open_file(pa.py_buffer(runs.load(root / part.table, np.uint8))).read_all()
    table = shards.read(root, part.documents).cast(PLAIN)
    return table.filter(pa.array(~np.isin(np.arange(table.num_rows), part.forgotten))) if part.forgotten else table


def within(table: pa.Table, low: int, high: int) -> pa.Table:
    """The rows of a table in the order of places with places from `low` to below `high`."""
    places = table["place"]
    first, last = (bisect.bisect_left(range(len(places)), bound, key=lambda row: places[row].as_py()) for bound in (low, high))
    return table.slice(first, last - first)


def laid_together(
    root: Path, parts: Sequence[Part | GatheredPart], tables: Sequence[pa.Table], dtype: IdType, *, by_place: bool = True
) -> tuple[pa.Table, list[Ids]]:
    """The documents `tables` of several parts in one table, in order, and the ids of each document. Raises CorruptFile."""
    documents = pa.concat_tables(tables)
    found = [ids for part, table in zip(parts, tables, strict=True) for ids in bodies(root / part.payload, table, dtype)]
    if not by_place:
        return documents, found
    order = np.argsort(documents["place"].to_numpy(), kind="stable")
    return documents.take(pa.array(order)), [found[row] for row in order.tolist()]


def end_to_end(ids: Sequence[Ids]) -> Iterator[Ids]:
    """The ids of documents one after the other, in pieces."""
    return (np.concatenate(ids[first : first + DOCUMENTS_AT_ONCE]) for first in range(0, len(ids), DOCUMENTS_AT_ONCE))


def _gather(task: _GatherTask) -> GatheredPart:
    root, into = task.root, task.into
    tables = [table_of(root, part) for part in task.parts]
    size_bytes = sum((root / part.payload).stat().st_size for part in task.parts)
    blocks = max(1, -(-size_bytes // task.block_bytes))
    bounds = [LAST_PLACE * number // blocks for number in range(blocks + 1)]
    written = 0
    with (
        files.create(root / into.table, durable=False, hashed=False) as rows,
        files.create(root / into.payload, durable=False, hashed=False) as out,
        pa.ipc.new_file(rows, PLAIN) as writer,
    ):
        for low, high in itertools.pairwise(bounds):
            documents, ids = laid_together(root, task.parts, [within(table, low, high) for table in tables], task.dtype)
            starts = written + offsets(documents["tokens"].to_numpy())
            column = documents.schema.get_field_index("token_offset")
            writer.write_table(documents.set_column(column, PLAIN.field(column), pa.array(starts)), max_chunksize=BATCH_ROWS)
            for piece in end_to_end(ids):
                out.write(piece)
                written += len(piece)
    return into
