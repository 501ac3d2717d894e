"""A small real tokenizer, as the plain values of its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers

from tokenmill.tokenizer.encode import FastEncoder, load


@pytest.fixture(scope="session")
def small() -> str:
    """The text of a tokenizer.json of 314 ids."""
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "End of text: the tokens of every document, 中文 and الكلمات and <|endoftext|> endoftext |> <| too.\n\n"
    model.train_from_iterator([text * 3], trainer)
    return model.to_str()


@pytest.fixture
def small_plain(small: str) -> dict[str, Any]:
    """The same as plain values, to be changed by a test."""
    return dict(json.loads(small))


@pytest.fixture(scope="session")
def encoder(small: str, tmp_path_factory: pytest.TempPathFactory) -> FastEncoder:
    path = tmp_path_factory.mktemp("small") / "tokenizer.json"
    path.write_text(small)
    return load(path)


@pytest.fixture
def encoder_of(tmp_path: Path) -> Callable[[dict[str, Any]], FastEncoder]:
    """The encoder of a file of these plain values."""

    def make(plain: dict[str, Any]) -> FastEncoder:
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(plain))
        return load(path)

    return make


@pytest.fixture(scope="session")
def gpt2_path(shared_data: Path) -> Path:
    """GPT-2's own vocabulary; its merges stand beside it."""
    return shared_data / "tok/cs336_fixtures/gpt2_vocab.json"


@pytest.fixture(scope="session")
def gpt2_encoder(gpt2_path: Path) -> FastEncoder:
    """GPT-2's tokenizer from its pair of files, which takes a second to load."""
    return load(gpt2_path)


@pytest.fixture(scope="session")
def split_ids() -> Callable[..., list[list[int]]]:
    """From ids end to end and their counts to the ids of each text."""

    def split(ids: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]) -> list[list[int]]:
        return [part.tolist() for part in np.split(ids, np.cumsum(counts)[:-1])]

    return split
