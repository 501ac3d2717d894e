"""Runs: counts on disk in the order of their hashes, added up by workers in rounds of bounded fan-in.

Purpose: one sum of the counts of any number of shards, of which no process holds more than a range of hashes.
Guarantee: every count is added once; the sum does not depend on the number of runs, of rounds or of workers. Rows have the
checksums of their pages. The files of the rounds are removed.
Cost: each round reads and writes every count once, and opens every file once (the last round: `PARTS` times). A task holds a
`RANGES`-th of the distinct pre-tokens of its runs, 80 bytes each. The caller gets the whole sum, about 40 bytes for each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import CorruptFile, Miscounted
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import TOKENIZER
from tokenmill.pipeline.kernels.bpe import tally
from tokenmill.pipeline.kernels.bpe.tally import COUNT, HASH, SIZE, Tally
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.tokenizer.merges import Words

COUNTS = pa.schema([pa.field("pretoken", pa.large_string()), pa.field("count", pa.int64())])
SUMS = f".state/{TOKENIZER}/.sums"
FAN_IN = 32
"""Most runs that one task adds up."""
RANGE_BITS = 4
RANGES = 1 << RANGE_BITS
"""A hash is in the range of its last bits: by the first ones a table finds its slots, so those of one range must be spread. A
task adds up one range after another."""
PARTS = 4
"""Tasks of the last round, with a part of the ranges each."""
FEW_ROWS = 1 << 16
"""So few counts are added up where they are wanted: that takes less time than to hand them to a worker."""
GROUP_ROWS = 1 << 15
"""Rows that are read at once: a task holds so many of each run, 32 MB of all together."""
EDGES = b"edges"
"""In the metadata of a run: where each range begins, and the number of rows."""


@dataclass(frozen=True, kw_only=True)
class CountsRun:
    """A file of counts below the corpus. Each count stands for `factor` times as many, rounded."""

    name: str
    rows: int
    factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class SumTask:
    """Runs to add up, in the ranges from `first` to `stop` - 1. Picklable."""

    root: Path
    runs: tuple[CountsRun, ...]
    first: int
    stop: int
    name: str


def write(root: Path, name: str, tables: Iterable[Tally]) -> FileEntry:
    """Write the counts of tables as one run. All ranges of a table are above those of the table before. Raises OSError."""
    ends, rows = np.zeros(RANGES, dtype=np.int64), 0
    with (
        files.create(root / name, durable=False) as out,
        pq.ParquetWriter(out, COUNTS, compression="zstd", write_page_checksum=True, use_dictionary=False) as writer,
    ):
        for table in tables:
            words, hashes = by_hash(table)
            writer.write_table(_arrow(words), row_group_size=GROUP_ROWS)
            ends += np.searchsorted(_range_of(hashes), np.arange(RANGES, dtype=np.uint64), side="right")
            rows += len(hashes)
        writer.add_key_value_metadata({EDGES: json.dumps([0, *ends.tolist()])})
    return out.entry(rows=rows)


def add_up(root: Path, runs: Sequence[CountsRun], executor: Executor) -> Words:
    """The sum of all runs, the most frequent pre-token first and none with a count of 0. Raises CorruptFile."""
    left = _rounds(root, runs, executor, most=FAN_IN)
    if sum(run.rows for run in left) <= FEW_ROWS:
        return _by_count([_arrow(by_hash(table)[0]) for table in _sums(root, left, 0, RANGES)])
    step = RANGES // PARTS
    tasks = [
        SumTask(root=root, runs=tuple(left), first=first, stop=first + step, name=f"{SUMS}/part-{first}.parquet")
        for first in range(0, RANGES, step)
    ]
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(_opened(root, run)) for run in executor.map(add, tasks)]
        return _by_count([part.rows(0, part.edges[-1]) for part in parts])


def one(root: Path, runs: Sequence[CountsRun], executor: Executor) -> CountsRun:
    """The sum of at least one run, as a run. Raises CorruptFile."""
    (run,) = _rounds(root, runs, executor, most=1)
    return run


def add(task: SumTask) -> CountsRun:
    """Add up the runs of a task into the run that it names. Raises CorruptFile."""
    entry = write(task.root, task.name, _sums(task.root, task.runs, task.first, task.stop))
    return CountsRun(name=task.name, rows=entry.rows or 0)


def clear(root: Path) -> None:
    """Remove what rounds have left."""
    files.clear(root / SUMS, keep=set(), kinds=(".parquet",))


def _rounds(root: Path, runs: Sequence[CountsRun], executor: Executor, *, most: int) -> list[CountsRun]:
    """Add up `FAN_IN` runs at a time until there are at most `most`."""
    while len(runs) > most:
        groups = [tuple(runs[at : at + FAN_IN]) for at in range(0, len(runs), FAN_IN)]
        tasks = [
            # A run is in one group of one round, so the name of the first is free.
            SumTask(root=root, runs=group, first=0, stop=RANGES, name=f"{SUMS}/{_key(group)}.parquet")
            for group in groups
        ]
        runs = executor.map(add, tasks)
    return list(runs)


def _key(group: tuple[CountsRun, ...]) -> str:
    return hashlib.blake2b(repr(group).encode(), digest_size=16).hexdigest()


class OpenedRun:
    """A run that is read range by range. Holds one row group."""

    def __init__(self, file: pq.ParquetFile, run: CountsRun, where: Path) -> None:
        self._file, self._run, self._where = file, run, where
        self.edges: list[int] = json.loads(file.metadata.metadata[EDGES])
        self._starts = np.cumsum([0, *(file.metadata.row_group(at).num_rows for at in range(file.num_row_groups))]).tolist()
        self._held: tuple[int, pa.Table] | None = None
        # Written in one go, so this only fails for a file of another run.
        if len(self.edges) != RANGES + 1 or not self.edges[-1] == self._starts[-1] == run.rows:
            raise CorruptFile(f"{where}: {self._starts[-1]} rows, {run.rows} were written; run the build again")

    def rows(self, start: int, stop: int) -> pa.Table:
        """The rows from `start` to `stop` - 1."""
        parts = [
            self._group(group).slice(max(0, start - low), min(stop, high) - max(start, low))
            for group, (low, high) in enumerate(pairwise(self._starts))
            if low < stop and high > start
        ]
        return pa.concat_tables(parts) if parts else COUNTS.empty_table()

    def words(self, number: int) -> Words:
        """The counts of one range, times the factor."""
        words = _words(self.rows(self.edges[number], self.edges[number + 1]))
        if self._run.factor == 1:
            return words
        return dataclasses.replace(words, counts=np.rint(words.counts * self._run.factor).astype(np.int64))

    def _group(self, group: int) -> pa.Table:
        if self._held is None or self._held[0] != group:
            try:
                self._held = group, self._file.read_row_group(group, use_threads=False)
            except (pa.ArrowException, OSError) as error:
                raise CorruptFile(f"{self._where}: cannot be read ({error}); run the build again") from error
        return self._held[1]


@contextlib.contextmanager
def _opened(root: Path, run: CountsRun) -> Iterator[OpenedRun]:
    where = root / run.name
    try:
        with files.reading(where) as handle, pq.ParquetFile(handle, page_checksum_verification=True) as file:
            yield OpenedRun(file, run, where)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CorruptFile(f"{where}: is no file of counts ({error}); run the build again") from error


def _sums(root: Path, runs: Sequence[CountsRun], first: int, stop: int) -> Iterator[Tally]:
    """The sum of the counts of each range that holds any."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(_opened(root, run)) for run in runs]
        for bits in range(first, stop):
            found = [one.words(bits) for one in opened]
            rows = sum(len(words.counts) for words in found)
            if not rows:
                continue
            table = tally.make(rows, sum(int(words.offsets[-1] - words.offsets[0]) for words in found))
            for words in found:
                begin, ends, number = int(words.offsets[0]), words.offsets[1:], len(words.counts)
                done = tally.add(table, words.data, begin, ends, 0, number, words.counts)
                if done != number:
                    raise Miscounted(f"tokenizer: the counts of {done} pre-tokens were added, of {number}")
            yield table


def _range_of(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return hashes & np.uint64(RANGES - 1)


def by_hash(table: Tally) -> tuple[Words, npt.NDArray[np.uint64]]:
    """The entries of a table in ascending order of ranges and, in each, of hashes; and the hashes."""
    hashes = table.entries[: int(table.used[0]), HASH].view(np.uint64)
    order = np.argsort(_range_of(hashes) << np.uint64(64 - RANGE_BITS) | hashes >> np.uint64(RANGE_BITS), kind="stable")
    return _gathered(table, order), hashes[order]


def ranked(table: Tally) -> Words:
    """The entries of one table, the most frequent pre-token first and none with a count of 0."""
    counts = table.entries[: int(table.used[0]), COUNT]
    return _gathered(table, np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)])


def _gathered(table: Tally, order: npt.NDArray[np.int64]) -> Words:
    offsets = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(table.entries[order, SIZE], out=offsets[1:])
    data = np.empty(int(offsets[-1]), dtype=np.uint8)
    tally.gather(table, order, data)
    return Words(data=data, offsets=offsets, counts=table.entries[order, COUNT])


def _by_count(tables: Sequence[pa.Table]) -> Words:
    """All rows in descending order of counts, without those of 0."""
    table = pa.concat_tables(tables) if tables else COUNTS.empty_table()
    counts = table["count"].to_numpy()
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    return _words(table.take(pa.array(order)))


def _words(table: pa.Table) -> Words:
    data, offsets = utf8(table["pretoken"].combine_chunks())
    # Copies, because Arrow's arrays are read-only, and kernels would be compiled a second time for read-only arrays.
    return Words(data=data, offsets=offsets.copy(), counts=np.array(table["count"], dtype=np.int64))


def _arrow(words: Words) -> pa.Table:
    pretokens = pa.LargeStringArray.from_buffers(len(words.counts), pa.py_buffer(words.offsets), pa.py_buffer(words.data))
    return pa.Table.from_arrays([pretokens, pa.array(words.counts)], schema=COUNTS)
