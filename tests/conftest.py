"""Fixtures that several test modules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from tokenmill.pipeline.base import manifest, schema, shards
from tokenmill.pipeline.base.executor import InProcess
from tokenmill.pipeline.stages.step import Work


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip(f"needs the real data in {folder}, which is not there")
    return folder


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Work]:
    """Builds a finished `collect` stage by hand: `make_corpus({"a/0": ["text", ...], ...})` -> Work after it.

    The document in row 3 of shard "a/0" has the identity "0:3" in the source "a".
    """

    def make(texts: Mapping[str, Sequence[str]], folder: str = "corpus") -> Work:
        root = tmp_path / folder
        made = []
        for shard, rows in texts.items():
            source, split = shard.split("/")
            columns = {
                "doc_id": [schema.doc_id(source, f"{split}:{row}") for row in range(len(rows))],
                "source": [source] * len(rows),
                "url": [None] * len(rows),
                "text": list(rows),
                "metadata": ["{}"] * len(rows),
            }
            name = f"documents/{shard}.parquet"
            entry = shards.write(root, name, pa.table(columns).cast(schema.DOCUMENTS))
            size = sum(len(text.encode()) for text in rows)
            counts = manifest.Counts(read=len(rows), kept=len(rows), bytes_in=size, bytes_kept=size)
            made.append(manifest.Shard(name=shard, files={name: entry}, counts=counts))
        collected = manifest.Manifest(stage="collect", version=1, config={}, inputs={}, shards=tuple(made))
        manifest.commit(root, collected)
        return Work(root=root, before=(collected,), executor=InProcess())

    return make
