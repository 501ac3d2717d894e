"""Parquet as it is written and read: every page has a checksum, which is compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tokenmill.pipeline.base import shards
from tokenmill.pipeline.base.errors import CorruptFile
from tokenmill.pipeline.base.files import FileEntry


def flipped_pages(data: bytes) -> Iterator[bytes]:
    """A Parquet file once for each of its columns, with a bit of the last page of this column flipped."""
    parsed = pq.read_metadata(pa.BufferReader(data))
    for group in range(parsed.num_row_groups):
        for column in range(parsed.num_columns):
            chunk = parsed.row_group(group).column(column)
            begin = chunk.dictionary_page_offset or chunk.data_page_offset
            changed = bytearray(data)
            changed[begin + chunk.total_compressed_size - 1] ^= 1
            yield bytes(changed)


def table() -> pa.Table:
    """Numbers that do not compress, so that nothing but the checksum tells a flipped bit."""
    numbers = np.random.default_rng(0).integers(0, 2**63, 1000)
    return pa.table({"numbers": numbers, "names": pa.array(["a"] * 1000).dictionary_encode()})


def test_pages_are_written_with_checksums(tmp_path: Path) -> None:
    shards.write(tmp_path, "a.parquet", table())
    changed = list(flipped_pages((tmp_path / "a.parquet").read_bytes()))
    assert len(changed) == 2
    for data in changed:
        with pytest.raises(OSError, match="CRC checksum verification failed"):
            pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    assert not pq.read_table(pa.BufferReader(changed[0])).equals(table()), "unverified, other numbers are read without a word"


def test_checksums_of_pages_are_compared(tmp_path: Path) -> None:
    """Also where the file has the hash that its manifest names: it was damaged before it was hashed."""
    entry = shards.write(tmp_path, "a.parquet", table())
    assert shards.read(tmp_path, ("a.parquet", entry)).equals(table())
    for data in flipped_pages((tmp_path / "a.parquet").read_bytes()):
        (tmp_path / "a.parquet").write_bytes(data)
        hashed = FileEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), rows=1000)
        with pytest.raises(CorruptFile, match="a.parquet: is not a Parquet table .*CRC checksum verification failed"):
            shards.read(tmp_path, ("a.parquet", hashed))
