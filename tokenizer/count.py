"""Count how often each pre-token occurs in the surviving text: one table per shard, then one table for all of them.

Purpose: merges of any vocabulary size are learned from these counts, so the text is read for them only once.
Guarantee: the counts are exact for any number of workers. A shard is counted again only when its text or the pattern has
changed. The counts are stored below `.state`, in files by shard.
Cost: 100 to 200 MB of text per second and worker. A worker holds one shard and a table of at most `budget_bytes`, which is
written to disk when it is full. The table of all shards takes about 80 bytes per distinct pre-token.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from tokenmill.pipeline.base import manifest, shards, state
from tokenmill.pipeline.base.errors import ConfigError, Miscounted
from tokenmill.pipeline.base.manifest import TOKENIZER, Counts, Shard
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.kernels.bpe import tally
from tokenmill.pipeline.kernels.bpe.tally import COUNT, SIZE, Tally
from tokenmill.pipeline.kernels.hashing import PADDING_BYTES
from tokenmill.pipeline.kernels.text.buffers import utf8
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.tokenizer.merges import Words
from tokenmill.tokenizer.pretokenize import Pattern, blocks

VERSION = 1
BUDGET_BYTES = 256 << 20
FIRST_ENTRIES = 1 << 17
FIRST_BYTES = 1 << 20
COUNTS = pa.schema([pa.field("pretoken", pa.large_string()), pa.field("count", pa.int64())])
ONCE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class CountTask:
    """One shard to count. Picklable."""

    view: View
    pattern: Pattern
    budget_bytes: int = BUDGET_BYTES


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The result for one shard. `shard.counts.bytes_kept` is the size of its text in bytes."""

    shard: Shard
    recomputed: bool


def count_shard(task: CountTask) -> Counted:
    """Count the surviving rows of one shard, or return the stored counts if they are current.

    Raises CorruptFile, Misaligned.
    """
    view = task.view
    identity = manifest.fingerprint(TOKENIZER, VERSION, {"pattern": task.pattern.regex}, view.identity)
    done = state.finished(view.root, state.load(state.path_of(view.root, TOKENIZER, view.name)), identity)
    if done is not None:
        return Counted(shard=done, recomputed=False)
    texts = view.read().table["text"].combine_chunks()
    entries, text_bytes = {}, 0
    for number, found in enumerate(count(texts, task.pattern, task.budget_bytes)):
        name = f".state/{TOKENIZER}/{view.name}.{number}.parquet"
        words = _words(found, by_count=False)
        text_bytes += words.bytes
        entries[name] = shards.write(view.root, name, _table(words), durable=False)
    counts = Counts(read=len(texts), kept=len(texts), bytes_in=text_bytes, bytes_kept=text_bytes)
    shard = Shard(name=view.name, files=entries, counts=counts)
    state.record_shard(view.root, TOKENIZER, shard, identity)
    return Counted(shard=shard, recomputed=True)


def count(texts: pa.LargeStringArray, pattern: Pattern, budget_bytes: int = BUDGET_BYTES) -> Iterator[Tally]:
    """Count the pre-tokens of `texts`. Yields one table, or several where one would exceed `budget_bytes`."""
    table = tally.make(FIRST_ENTRIES, FIRST_BYTES)
    for data, begin, ends in blocks(texts, pattern):
        done = 0
        while (done := tally.add(table, data, begin, ends, done, len(ends), ONCE)) < len(ends):
            start = int(ends[done - 1]) if done else begin
            needed = int(ends[done]) - start
            if table.used[0] and sum(array.nbytes for array in table) + needed > budget_bytes / 2:
                yield table
                table = tally.make(FIRST_ENTRIES, max(FIRST_BYTES, needed))
            table = _with_room(table, int(table.used[0]) + 1, tally.arena_used(table) + needed)
            begin = start
    if table.used[0]:
        yield table


def merge(root: Path, counted: Sequence[Shard], max_source_share: float = 1) -> Words:
    """Add up the counts of all shards, the most frequent pre-token first.

    A source that has more than `max_source_share` of all text is scaled down until it has that share of the scaled total.
    Raises ConfigError when there are too few sources for that share, CorruptFile.
    """
    sources: dict[str, list[Shard]] = {}
    for shard in counted:
        sources.setdefault(shard.source, []).append(shard)
    text_bytes = {source: sum(shard.counts.bytes_kept for shard in mine) for source, mine in sources.items()}
    most_bytes = _most_bytes([size for size in text_bytes.values() if size], max_source_share)
    table = tally.make(FIRST_ENTRIES, FIRST_BYTES)
    for source, mine in sources.items():
        runs: Iterable[Words] = (read(root, named) for shard in mine for named in shard.files.items())
        if text_bytes[source] > most_bytes:
            whole = _words(_sum(tally.make(FIRST_ENTRIES, FIRST_BYTES), runs))
            runs = [_scaled(whole, most_bytes / text_bytes[source])]
        table = _sum(table, runs)
    return _words(table)


def read(root: Path, named: Named) -> Words:
    """Read one file of counts. Its entries are not sorted by count. Raises CorruptFile."""
    table = shards.read(root, named)
    data, offsets = utf8(table["pretoken"].combine_chunks())
    # Copies, because Arrow's arrays are read-only, and kernels would be compiled a second time for read-only arrays.
    return Words(data=data, offsets=offsets.copy(), counts=np.array(table["count"]))


def _sum(table: Tally, runs: Iterable[Words]) -> Tally:
    """Add the counts of `runs` to a table.

    Each run is in slot order, so adding it sweeps the table once from end to end. The table gets room for a whole run
    beforehand: if it were too small, the first half of the run would crowd into the first half of the slots.
    """
    for words in runs:
        table = _with_room(table, int(table.used[0]) + len(words.counts), tally.arena_used(table) + len(words.data))
        done = tally.add(table, words.data, int(words.offsets[0]), words.offsets[1:], 0, len(words.counts), words.counts)
        if done != len(words.counts):
            raise Miscounted(f"tokenizer: the counts of {done} pre-tokens were added, of {len(words.counts)}")
    return table


def _most_bytes(sizes: Sequence[int], share: float) -> float:
    """The largest size of one source, in bytes, with which no source has more than `share` of the total after scaling."""
    if share * len(sizes) < 1:
        raise ConfigError(f"tokenizer.max_source_share = {share} cannot be kept with {len(sizes)} sources that have text")
    rest = float(sum(sizes))
    for larger, size in enumerate(sorted(sizes, reverse=True)):
        # If the `larger` biggest sources are at the limit, the limit is `share` of their sum plus the rest:
        limit = share * rest / (1 - share * larger) if share * larger < 1 else math.inf
        if size <= limit:
            return limit
        rest -= size
    return math.inf


def _scaled(words: Words, factor: float) -> Words:
    """Counts times `factor`, rounded. An entry that rounds to 0 stays, with the count 0."""
    return dataclasses.replace(words, counts=np.rint(words.counts * factor).astype(np.int64))


def _with_room(table: Tally, entries: int, arena_bytes: Integer) -> Tally:
    """The table, if it has room for `entries` and `arena_bytes`; else a copy.

    What was too small at least doubles, so growth is rare.
    """
    few, small = entries > len(table.entries), arena_bytes + PADDING_BYTES > len(table.arena)
    if not few and not small:
        return table
    return tally.grown(
        table,
        max(entries, 2 * len(table.entries)) if few else len(table.entries),
        max(int(arena_bytes), 2 * len(table.arena)) if small else len(table.arena),
    )


def _words(table: Tally, *, by_count: bool = True) -> Words:
    """The entries of a table: in descending order of counts and without counts of 0, or all of them in slot order."""
    order = np.empty(int(table.used[0]), dtype=np.int64)
    tally.in_slot_order(table, order)
    counts = table.entries[order, COUNT]
    if by_count:
        ranked = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
        order, counts = order[ranked], counts[ranked]
    offsets = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(table.entries[order, SIZE], out=offsets[1:])
    data = np.empty(int(offsets[-1]), dtype=np.uint8)
    tally.gather(table, order, data)
    return Words(data=data, offsets=offsets, counts=counts)


def _table(words: Words) -> pa.Table:
    pretokens = pa.LargeStringArray.from_buffers(len(words.counts), pa.py_buffer(words.offsets), pa.py_buffer(words.data))
    return pa.Table.from_arrays([pretokens, pa.array(words.counts)], schema=COUNTS)
