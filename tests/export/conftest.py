"""Packed corpora whose tokens can be told by hand, and exports of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.folders import folder_of
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.export import Format, export
from tokenmill.pipeline.stages.step import Work, perform
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.pack import PackStep

TEXTS = {
    "a/0": ["", "ab" * 40, "c" * 1900, "one document", "öäü" * 30],
    "a/1": ["z" * number for number in range(1, 60, 3)],
    "b/0": ["b" * 1700, "the last source"],
    "empty/0": [],
}


@dataclass(frozen=True, kw_only=True)
class ShiftedBytes:
    """Byte b is id b + `shift`; end of text is 0."""

    shift: int
    end_of_text: int = 0
    exact: bool = True

    @property
    def fingerprint(self) -> str:
        return f"bytes{self.shift}"

    @property
    def vocabulary(self) -> int:
        return 256 + self.shift

    def spans(self, text: str) -> npt.NDArray[np.int64]:
        raise NotImplementedError

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        data = [text.encode() for text in texts.to_pylist()]
        return np.frombuffer(b"".join(data), np.uint8).astype(np.uint32) + self.shift, np.array(
            [len(one) for one in data], dtype=np.int64
        )


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A packed corpus, and a folder for exports."""

    work: Work
    out: Path

    @property
    def root(self) -> Path:
        return self.work.root

    @property
    def store(self) -> TokenStore:
        return TokenStore.open(self.root / "tokens")

    def documents(self, split: str, shard: int) -> list[list[int]]:
        """The ids of each document of a token shard, as our reader gives them."""
        found = next(one for one in self.store.splits if one.name == split).shards[shard]
        ids = found.read(0, found.tokens).tolist()
        ends = [at + 1 for at, value in enumerate(ids) if value == 0]
        return [ids[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def export(self, to: Format, folder: str = "", **more: str) -> Path:
        """The folder of an export in that format."""
        out = self.out / (folder or to)
        export(folder_of(self.work), out, to, Silent(), **more)
        return out


@pytest.fixture
def packed_as(make_corpus: Callable[..., Work], tmp_path: Path) -> Callable[..., Packed]:
    """`packed_as(shift, shard_tokens=, ...)` packs `TEXTS`; ids of more than 16 bits come with a large shift."""

    def make(shift: int = 1, folder: str = "corpus", **settings: float) -> Packed:
        work = make_corpus(TEXTS, folder=folder)
        config = PackConfig.model_validate({"validation_fraction": 0.3, "shard_tokens": 1000, "shuffle": False, **settings})
        perform(PackStep(config=config, encoder=ShiftedBytes(shift=shift)), work, downstream=())
        return Packed(work=work, out=tmp_path / "out")

    return make


@pytest.fixture(params=[1, 70_000], ids=["uint16", "uint32"])
def packed(packed_as: Callable[..., Packed], request: pytest.FixtureRequest) -> Packed:
    """Several token shards of two sources in train, some documents in val."""
    made = packed_as(request.param)
    assert len(made.store.split("train").shards) >= 3
    assert made.store.split("val").documents > 0
    return made
