"""Collection by kind of file beside datatrove's readers: documents on disk with ids and hashes, beside documents in memory.

Ours parses in a confined process, tells faults, writes Parquet and records its manifest; datatrove's readers only read. Of web
archives, ours takes the main text out of the pages; there a MB is of records as they stand in the archive. datatrove has no
reader of plain text files, and that of archives needs packages that are not installed here. Both rates are by the seconds
beyond those of one document. With `--cpu`, those of the parsers count too.
"""

from __future__ import annotations

import csv
import gzip
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.bench import texts
from tests.bench.datatrove_peers import installed
from tests.bench.memory import cpu_seconds
from tests.bench.run import Row, significant
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.collect.parser import start
from tokenmill.pipeline.collect.step import CollectStep
from tokenmill.pipeline.config import CollectConfig, FilesSource
from tokenmill.pipeline.stages.step import Work, perform

STAGE = "collect"
TEXT_BYTES = 16_000_000
ARCHIVE_BYTES = 3_000_000
ARCHIVE = texts.BENCH_TEXT.parents[1] / "web" / "docs.warc.gz"
RECORD = b"\r\n\r\nWARC/1.0\r\n"
KINDS = ("jsonl", "parquet", "csv", "txt", "warc")

Run = Callable[[Path, Path], object]


def measure(folder: Path, *, rounds: int, clock: Callable[[], float]) -> tuple[list[Row], list[str]]:
    """The rows of this bench, and the peers that are not installed."""
    folder.mkdir(parents=True)
    now = cpu_seconds if clock is time.process_time else clock
    table = texts.documents(texts.ROOT / "build" / "bench", english=True)
    table = table.slice(0, texts.rows_of(table, TEXT_BYTES))
    readers = _readers() if installed("datatrove", "orjson") else {}
    rows = []
    for kind in KINDS:
        if kind == "warc" and not ARCHIVE.is_file():
            continue
        source, size = _source(folder / kind, table, kind)
        one, least = _source(folder / f"{kind}-one", table.slice(0, 1), kind)
        mine = _rate(_collect, source, one, size - least, rounds, now)
        beside: dict[str, Any] = {}
        if kind in readers:
            theirs = _rate(readers[kind], source, one, size - least, rounds, now)
            beside = {"peer": "datatrove", "peer_mb_s": significant(theirs), "ratio": significant(mine / theirs)}
        rows.append(Row(stage=f"{STAGE}_{kind}", ours_mb_s=significant(mine), **beside))
    return rows, [] if readers else ["datatrove"]


def _rate(run: Run, source: Path, one: Path, size: int, rounds: int, clock: Callable[[], float]) -> float:
    """MB per second of what `source` has more than `one`; the first turn warms up."""
    took: list[float] = []
    for turn in range(rounds + 1):
        times = [clock()]
        for place in (source, one):
            run(place, place.with_name(f"{place.name}-{turn}-out"))
            times.append(clock())
        took.append(times[1] - times[0] - (times[2] - times[1]))
    return size / 1e6 / statistics.median(took[1:])


def _collect(source: Path, out: Path) -> None:
    config = CollectConfig(sources=(FilesSource(name="bench", paths=(str(source),)),))
    perform(CollectStep(config), Work(root=out, before=(), executor=InProcess()), downstream=())
    start.stop()


def _readers() -> dict[str, Run]:
    from datatrove.pipeline.readers import JsonlReader, ParquetReader
    from datatrove.pipeline.readers.csv import CsvReader

    # By default Python's reader of CSV refuses a text of 128 KiB.
    csv.field_size_limit(1 << 30)

    def reading(kind: Any) -> Run:
        return lambda source, _: sum(1 for _ in kind(str(source)).run())

    return {
        "jsonl": reading(JsonlReader),
        "parquet": reading(ParquetReader),
        "csv": reading(CsvReader),
    }


def _source(folder: Path, table: pa.Table, kind: str) -> tuple[Path, int]:
    """A folder with the documents as files of a kind, and their size: that of the text, or of the archive."""
    if kind in ("jsonl", "parquet"):
        texts.write_halves(folder, table, kind)
    else:
        folder.mkdir()
        if kind == "warc":
            data = _archive(ARCHIVE_BYTES if table.num_rows > 1 else 10_000)
            (folder / "0.warc").write_bytes(data)
            return folder, len(data)
        documents = table["text"].to_pylist()
        if kind == "csv":
            with (folder / "0.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("text",), *((text,) for text in documents)])
        else:
            for number, text in enumerate(documents):
                (folder / f"{number}.txt").write_bytes(text.encode())
    return folder, texts.bytes_of(table)


def _archive(size: int) -> bytes:
    """The first records of the archive, of about so many bytes."""
    with gzip.open(ARCHIVE) as file:
        data = file.read(size)
    return data[: data.rindex(RECORD) + 4]
