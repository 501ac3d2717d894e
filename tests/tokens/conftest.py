"""A tokenizer that can be checked by hand, and stores packed with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import tokenizers

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.config import PackConfig
from tokenmill.pipeline.stages.step import Done, Work, perform
from tokenmill.pipeline.tokens.pack import PackStep
from tokenmill.tokenizer.encode import FastEncoder, load


@dataclass(frozen=True, kw_only=True)
class ByteEncoder:
    """Byte b is id b + 1; end of text is 0."""

    fingerprint: str = "bytes"
    vocabulary: int = 257
    end_of_text: int = 0
    exact: bool = True

    def spans(self, text: str) -> npt.NDArray[np.int64]:
        raise NotImplementedError

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        data = [text.encode() for text in texts.to_pylist()]
        ids = np.frombuffer(b"".join(data), dtype=np.uint8).astype(np.uint32) + 1
        return ids, np.array([len(one) for one in data], dtype=np.int64)

    @staticmethod
    def decode_bytes(ids: Iterable[int]) -> bytes:
        return bytes(number - 1 for number in ids)


@pytest.fixture
def byte_encoder() -> ByteEncoder:
    return ByteEncoder()


@pytest.fixture
def pack(byte_encoder: ByteEncoder) -> Callable[..., Done]:
    """`pack(work, validation_fraction=0, shuffle=False)` packs with the byte encoder; `encoder=` gives another."""

    def run(work: Work, encoder: ByteEncoder = byte_encoder, **settings: float) -> Done:
        config = PackConfig.model_validate({"validation_fraction": 0, "shuffle": False, **settings})
        return perform(PackStep(config=config, encoder=encoder), work, downstream=())

    return run


@pytest.fixture
def store_of(make_corpus: Callable[..., Work], pack: Callable[..., Done]) -> Callable[..., tuple[Path, Manifest]]:
    """`store_of([text, ...])` -> the folder of a store of one shard of documents, and its manifest."""

    def make(texts: Sequence[str], **settings: float) -> tuple[Path, Manifest]:
        work = make_corpus({"a/0": texts})
        return work.root / "tokens", pack(work, **settings).manifest

    return make


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> FastEncoder:
    """A real tokenizer of 300 ids."""
    path = tmp_path_factory.mktemp("small") / "tokenizer.json"
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(["the token shard of a corpus holds every document once " * 3], trainer)
    model.save(str(path))
    return load(path)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """80 texts of up to 59 words."""
    words = ["the", "token", "shard", "of", "a", "corpus", "holds", "every", "document", "once", "一", "é", "\U0001f600"]
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(words, size=draw.integers(0, 60))) for _ in range(80)]
