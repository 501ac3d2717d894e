"""Count how often each pre-token occurs in the surviving text, or in a sample of it: a run of counts per shard, then one sum.

Purpose: merges of any vocabulary size are learned from these counts, so the text is read for them only once.
Guarantee: the counts are exact for any number of workers. A document is in the sample or not by a hash of its `doc_id` alone,
so a larger sample holds every smaller one. A shard is counted again only when its text, the pattern or the share has changed.
The counts are stored below `.state`, in files by shard.
Cost: 100 to 200 MB of text per second and worker. A worker holds one shard and a table of at most `budget_bytes`, which is
written to disk when it is full. For the sum see `tokenizer.sums`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tokenmill.pipeline.base import manifest, state
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import TOKENIZER, Counts, Shard
from tokenmill.pipeline.base.shards import View
from tokenmill.pipeline.kernels.bpe import tally
from tokenmill.pipeline.kernels.bpe.tally import Tally
from tokenmill.pipeline.kernels.hashing import PADDING_BYTES
from tokenmill.pipeline.kernels.text.utf8 import Integer
from tokenmill.pipeline.stages.step import Work
from tokenmill.pipeline.tokens.format import places
from tokenmill.tokenizer import sums
from tokenmill.tokenizer.merges import Words
from tokenmill.tokenizer.pretokenize import Pattern, blocks
from tokenmill.tokenizer.sums import CountsRun

VERSION = 2
BUDGET_BYTES = 256 << 20
FIRST_ENTRIES = 1 << 17
FIRST_BYTES = 1 << 20
ONCE = np.zeros(0, dtype=np.int64)
SAMPLE = b"tokenmill.sample"
"""Makes the hash for the sample another than the one for the split, so both splits are in the sample."""


@dataclass(frozen=True, kw_only=True)
class CountTask:
    """One shard to count. Picklable."""

    view: View
    pattern: Pattern
    share: float = 1.0
    """The share of documents in the sample (0 to 1)."""
    budget_bytes: int = BUDGET_BYTES


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The result for one shard. `shard.counts` has the documents and the bytes of text that were counted."""

    shard: Shard
    recomputed: bool


def count_shard(task: CountTask) -> Counted:
    """Count the surviving rows of one shard, or return the stored counts if they are current.

    Raises CorruptFile, Misaligned.
    """
    view = task.view
    settings = {"pattern": task.pattern.regex, "share": task.share}
    identity = manifest.fingerprint(TOKENIZER, VERSION, settings, view.identity)
    done = state.finished(view.root, state.load(state.path_of(view.root, TOKENIZER, view.name)), identity)
    if done is not None:
        return Counted(shard=done, recomputed=False)
    alive = view.read().table
    if task.share < 1:
        alive = alive.filter(pa.array(places(alive["doc_id"], purpose=SAMPLE) < int(task.share * 2**64)))
    texts = alive["text"].combine_chunks()
    text_bytes = int(pc.sum(pc.binary_length(texts), min_count=0).as_py())
    counts = Counts(read=len(texts), kept=len(texts), bytes_in=text_bytes, bytes_kept=text_bytes)
    files = count_texts(view.root, view.name, texts, pattern=task.pattern, budget_bytes=task.budget_bytes)
    shard = Shard(name=view.name, files=files, counts=counts)
    state.record_shard(view.root, TOKENIZER, shard, identity)
    return Counted(shard=shard, recomputed=True)


def count_texts(
    root: Path, name: str, texts: pa.LargeStringArray, *, pattern: Pattern, budget_bytes: int = BUDGET_BYTES
) -> dict[str, FileEntry]:
    """Count `texts`, the shard `name`, and write the counts as runs."""
    tables = enumerate(count(texts, pattern, budget_bytes))
    names = ((f".state/{TOKENIZER}/{name}.{number}.parquet", table) for number, table in tables)
    return {run: sums.write(root, run, [table]) for run, table in names}


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


def merge(work: Work, counted: Sequence[Shard], max_source_share: float = 1) -> Words:
    """Add up the counts of all shards, the most frequent pre-token first.

    A source that has more than `max_source_share` of all text is scaled down until it has that share of the scaled total.
    Raises ConfigError when there are too few sources for that share, CorruptFile.
    """
    sources: dict[str, list[Shard]] = {}
    for shard in counted:
        sources.setdefault(shard.source, []).append(shard)
    text_bytes = {source: sum(shard.counts.bytes_kept for shard in mine) for source, mine in sources.items()}
    most_bytes = _most_bytes([size for size in text_bytes.values() if size], max_source_share)
    wanted: list[CountsRun] = []
    for source, mine in sources.items():
        found = [CountsRun(name=name, rows=entry.rows or 0) for shard in mine for name, entry in shard.files.items()]
        if text_bytes[source] > most_bytes:
            # Rounded once, so of the whole source. An entry that rounds to 0 stays until all are added.
            factor = most_bytes / text_bytes[source]
            found = [dataclasses.replace(sums.one(work.root, found, work.executor), factor=factor)]
        wanted += found
    words = sums.add_up(work.root, wanted, work.executor)
    sums.clear(work.root)
    return words


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
