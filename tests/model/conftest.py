"""A token store made by hand: two splits, one shard each, of documents that count in steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.folders import smallest
from tests.threads import one_thread  # noqa: F401 -- a fixture
from tokenmill.flows.build import build
from tokenmill.pipeline import tokens
from tokenmill.pipeline.base import files, manifest, schema, shards
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.config import TrainConfig

VOCABULARY = 50
END_OF_TEXT = 49
TOKENIZER = "f" * 64


def counting(documents: int, length: int, first: int = 0) -> list[list[int]]:
    """Document d: first + d, and on in steps of 1 + d % 3, modulo 40. A model can learn to count."""
    return [[(first + d + (1 + d % 3) * i) % 40 for i in range(length)] for d in range(documents)]


def write_split(root: Path, split: str, documents: Sequence[Sequence[int]]) -> dict[str, FileEntry]:
    lengths = np.array([len(ids) + 1 for ids in documents], dtype=np.int64)
    payload = b"".join(np.array([*ids, END_OF_TEXT], "<u2").tobytes() for ids in documents)
    blocks = tokens.BlockHashes()
    blocks.update(payload)
    columns = {
        "doc_id": [schema.doc_id(split, str(row)) for row in range(len(documents))],
        "source": [split] * len(documents),
        "url": [None] * len(documents),
        "shard": ["a/0"] * len(documents),
        "row": list(range(len(documents))),
        "token_offset": tokens.offsets(lengths),
        "tokens": lengths,
        "text_bytes": [2 * len(ids) for ids in documents],
        "content_hash": [bytes(16)] * len(documents),
    }
    data = {"bin": payload, "blocks": blocks.finish(), "idx": tokens.index(lengths, tokens.dtype_for(VOCABULARY))}
    stem = f"tokens/{split}/00000"
    entries = {f"{stem}.{kind}": files.write_bytes(root / f"{stem}.{kind}", content) for kind, content in data.items()}
    table = pa.table(columns).cast(tokens.DOCUMENTS)
    entries[f"{stem}.docs.parquet"] = shards.write(root, f"{stem}.docs.parquet", table)
    return entries


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """`make_store(train=[[1, 2], ...], val=[...], folder="corpus")` -> the corpus's folder with a finished `pack`."""

    def make(
        train: Sequence[Sequence[int]] | None = None, val: Sequence[Sequence[int]] | None = None, folder: str = "corpus"
    ) -> Path:
        root = tmp_path / folder
        splits = {"train": counting(30, 19) if train is None else train, "val": counting(4, 19, 7) if val is None else val}
        entries: dict[str, FileEntry] = {}
        counts = {}
        for name, documents in splits.items():
            if documents:
                entries |= write_split(root, name, documents)
            run = {"tokens": sum(len(ids) + 1 for ids in documents), "documents": len(documents)}
            run["text_bytes"] = sum(2 * len(ids) for ids in documents)
            counts[name] = {**run, "highest_id": END_OF_TEXT, "sources": [{"source": name, **run}] if documents else []}
        facts = {
            "dtype": "uint16",
            "block_bytes": tokens.BLOCK_BYTES,
            "vocabulary": VOCABULARY,
            "end_of_text": END_OF_TEXT,
            "tokenizer": TOKENIZER,
            "splits": counts,
        }
        manifest.commit(root, Manifest(stage="pack", version=1, config={}, inputs={}, files=entries, facts=facts))
        return root

    return make


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that was built of a few texts, with a tokenizer of 260 ids. Tests train in it, each anew."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "in").mkdir()
    for number in range(8):
        (folder / "in" / f"{number}.txt").write_text("The mill grinds, and grinds on; it's 2024.\n" * (number + 1))
    return build(smallest(folder), folder / "corpus").root


@pytest.fixture
def tiny() -> Callable[..., TrainConfig]:
    """Settings of a model that makes a step in a few milliseconds."""

    def make(**changes: object) -> TrainConfig:
        settings = {
            "model": "gpt2",
            "optimizer": "adamw",
            "schedule": "cosine",
            "layers": 2,
            "heads": 2,
            "width": 16,
            "context_tokens": 16,
            "batch_windows": 4,
            "steps": 12,
            "learning_rate": 1e-2,
            "min_learning_rate": 1e-3,
            "warmup_steps": 3,
            "evaluate_every": 4,
            "checkpoint_every": 4,
            "dropout": 0.1,
            "device": "cpu",
        }
        return TrainConfig.model_validate(settings | changes)

    return make
