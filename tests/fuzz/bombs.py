"""Small files that ask for much memory or time: what a reader must stop at a cap, whole and mutated."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from tests.fuzz.seeds import Seed, record, response

MB = 1_000_000


def write(folder: Path) -> None:
    """Write each bomb as a file of less than a megabyte. It takes some hundred megabytes of memory."""
    folder.mkdir(parents=True)
    for number, (ending, data) in enumerate((*_streams(), *_tables(), *_pages())):
        assert len(data) < MB
        (folder / f"{number:02}{ending}").write_bytes(data)


def read(folder: Path) -> list[Seed]:
    """The seeds that `write` has written."""
    return [Seed(format="bomb", ending=path.name[2:], data=path.read_bytes()) for path in sorted(folder.iterdir())]


def _streams() -> Iterator[tuple[str, bytes]]:
    line = b'{"text": "%s"}\n'
    yield ".jsonl.gz", gzip.compress(line % (b"a" * 60 * MB), 9, mtime=0)
    yield ".txt.gz", gzip.compress(gzip.compress(bytes(60 * MB), 9, mtime=0), 9, mtime=0)
    yield ".jsonl.gz", gzip.compress(b"\n" * 60 * MB, 9, mtime=0)
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=30, enable_ldm=False)
    yield ".jsonl.zst", zstandard.ZstdCompressor(compression_params=wide).compress(line % (b"a" * 100 * MB))
    yield ".txt.zst", zstandard.compress(b"words\n" * 10 * MB)
    yield ".csv.gz", gzip.compress(b'id,text\n1,"' + b'""' * 20 * MB, 9, mtime=0)


def _tables() -> Iterator[tuple[str, bytes]]:
    once = pa.array(["a" * 24 * MB])
    often = pa.DictionaryArray.from_arrays(pa.array([0] * 512, pa.int32()), once)
    yield ".parquet", _parquet(pa.table({"text": often}))
    yield ".parquet", _parquet(pa.table({"text": pa.array(["a" * 120 * MB], pa.large_string())}))
    side = pa.array([b"a" * 120 * MB], pa.large_binary())
    yield ".parquet", _parquet(pa.table({"text": ["words"], "side": side}))
    nested = pa.ListArray.from_arrays(pa.array([0, 30 * MB], pa.int32()), pa.nulls(30 * MB, pa.int8()))
    yield ".parquet", _parquet(pa.table({"text": ["words"], "nested": nested}))
    yield ".parquet", _parquet(pa.table({f"c{number}": ["x"] for number in range(1_500)} | {"text": ["words"]}))


def _parquet(made: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(made, out, compression="zstd", compression_level=9, write_statistics=False)
    return out.getvalue()


def _pages() -> Iterator[tuple[str, bytes]]:
    pages = (
        b"<div" + b"".join(b"/a%d" % number for number in range(90_000)) + b">words",
        b"<div" + b' a="<"' * 120_000 + b">words",
        b"<div>" * 150_000 + b"words",
        b"<table><tr><td>" * 50_000 + b"words",
        b"<p>" + b"w" * 900_000,
        b"<b><i><p>" * 90_000,
        b"&lt" * 300_000,
        b"<select><option>" * 50_000,
        b"<!--" * 200_000,
    )
    for page in pages:
        yield ".html", page
    packed = gzip.compress(b"<p>" + b"a" * 60 * MB, 9, mtime=0)
    yield ".warc", record("response", response(packed, "Content-Encoding: gzip"), "application/http; msgtype=response", 1)
    yield ".warc.gz", gzip.compress(b"WARC/1.0\r\nWARC-Type: response\r\n" + b"X: y\r\n" * 5 * MB, 9, mtime=0)
    yield ".md", b"a" * 900_000
