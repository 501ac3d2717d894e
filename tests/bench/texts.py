"""The documents that benches read: real text, in a seeded order, as Parquet shards like those of a corpus.

Guarantee: the same documents in the same order on every run. A smaller sample is a prefix of a larger one.
Cost: one read of the bench text; without it, collecting 32 MB of installed documentation (a quarter of a minute).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.base.shards import views
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig, InstalledSource
from tokenmill.pipeline.stages.step import Work, perform

ROOT = Path(__file__).resolve().parents[2]
BENCH_TEXT = ROOT.parent / "shared" / "data" / "text" / "bench_text.parquet"
ENGLISH = ("openjdk", "boost", "postgresql")
UNSPACED = r"/(ja-JP|zh-CN|zh-TW)/|^(Chinese|Japanese)"
"""Paths of Chinese and Japanese documents."""
INSTALLED_BYTES = 32_000_000
SHARD_BYTES = 16_000_000
"""What a shard of a corpus holds."""
SEED = 1


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Documents on disk: Parquet files with the one column `text`."""

    shards: tuple[Path, ...]
    documents: int
    text_bytes: int


def documents(build: Path, *, english: bool = False, unspaced: bool = False) -> pa.Table:
    """The column `text` of all documents, of English ones or of Chinese and Japanese ones (`unspaced`), shuffled.

    Installed documentation counts as any of them.
    """
    if BENCH_TEXT.is_file():
        table = pq.read_table(BENCH_TEXT, columns=["source", "path", "text"])
        if english:
            table = table.filter(pc.is_in(table["source"], pa.array(ENGLISH)))
        elif unspaced:
            table = table.filter(pc.match_substring_regex(table["path"], UNSPACED))
    else:
        table = _installed(build / "installed")
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    order = np.random.default_rng(SEED).permutation(len(texts))
    return pa.table({"text": texts.take(pa.array(order))})


def sample(table: pa.Table, folder: Path, text_bytes: int | None) -> Sample:
    """The first documents of `table` with at least `text_bytes` of text, or all, written below `folder`."""
    ends = _ends(table)
    rows = len(ends) if text_bytes is None else rows_of(table, text_bytes)
    total = int(ends[rows - 1])
    cuts = [0, *(int(np.searchsorted(ends, size)) for size in range(SHARD_BYTES, total, SHARD_BYTES)), rows]
    names = []
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        name = f"{total}-{number}.parquet"
        shards.write(folder, name, table.slice(start, stop - start).combine_chunks())
        names.append(folder / name)
    return Sample(shards=tuple(names), documents=rows, text_bytes=total)


def rows_of(table: pa.Table, text_bytes: int) -> int:
    """How many of the first documents have at least `text_bytes` of text, or all."""
    ends = _ends(table)
    return min(len(ends), int(np.searchsorted(ends, text_bytes)) + 1)


def bytes_of(table: pa.Table) -> int:
    """Bytes of text."""
    return int(_ends(table)[-1])


def write_halves(folder: Path, documents: pa.Table, kind: str) -> Path:
    """A folder with the documents in two files, "jsonl" or "parquet", so that two workers of datatrove have one each."""
    if not folder.exists():
        folder.mkdir()
        half = -(-documents.num_rows // 2)
        for number, part in enumerate((documents.slice(0, half), documents.slice(half))):
            if not part.num_rows:
                continue
            path = folder / f"{number}.{kind}"
            if kind == "parquet":
                pq.write_table(part, path)
            else:
                lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in part["text"].to_pylist())
                path.write_text("".join(lines), encoding="utf-8")
    return folder


def read(path: Path) -> pa.RecordBatch:
    """One shard, on the calling thread."""
    return pq.read_table(path, columns=["text"], use_threads=False).combine_chunks().to_batches()[0]


def _ends(table: pa.Table) -> npt.NDArray[np.int64]:
    """Where each document ends, in bytes of text."""
    return np.cumsum(pc.binary_length(table["text"]).to_numpy())


def _installed(root: Path) -> pa.Table:
    step = CollectStep(CollectConfig(sources=(InstalledSource(),), max_text_bytes=INSTALLED_BYTES))
    done = perform(step, Work(root=root, before=(), executor=InProcess()), downstream=())
    return pa.concat_tables([view.read(["text"]).table.select(["text"]) for view in views(root, [done.manifest])])
