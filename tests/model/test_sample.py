"""Sampling: what may be chosen, and that the same question has the same answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch

from tokenmill.model.gpt import GPT, Shape
from tokenmill.model.sample import choose, generate, sample
from tokenmill.model.train import train
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

SHAPE = Shape(layers=1, heads=2, width=8, context_tokens=6, vocabulary=20)


@dataclass(frozen=True)
class Letters:
    """A tokenizer of 50 ids: id k is the k-th character from "A" on."""

    fingerprint: str = "f" * 64

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        rows = texts.to_pylist()
        ids = [ord(letter) - ord("A") for text in rows for letter in text]
        return np.array(ids, np.uint32), np.array([len(text) for text in rows], np.int64)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(ord("A") + number) for number in ids)


def drawn(logits: torch.Tensor, times: int = 300, *, temperature: float = 1.0, top_k: int | None = None) -> Counter[int]:
    generator = torch.Generator().manual_seed(0)
    return Counter(choose(logits, temperature=temperature, top_k=top_k, generator=generator) for _ in range(times))


def test_top_k_leaves_the_k_likeliest() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0, 2.0, -1.0])
    assert set(drawn(logits, top_k=1)) == {1}
    assert set(drawn(logits, top_k=2)) == {1, 3}
    assert set(drawn(logits, top_k=99, temperature=5.0)) == set(drawn(logits, temperature=5.0)) == {0, 1, 2, 3, 4}


def test_draws_follow_the_probabilities() -> None:
    counts = drawn(torch.tensor([0.0, math.log(3.0)]), 4_000)
    assert counts[1] / 4_000 == pytest.approx(0.75, abs=0.03)
    # Twice the temperature takes the square root of the odds.
    assert drawn(torch.tensor([0.0, math.log(9.0)]), 4_000, temperature=2.0)[1] / 4_000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("temperature", [0.0, 1e-30])
def test_no_temperature_takes_the_likeliest(temperature: float) -> None:
    assert set(drawn(torch.tensor([1.0, 5.0, 4.9]), temperature=temperature)) == {1}


def test_padding_is_never_chosen_however_hot() -> None:
    model = GPT(SHAPE).eval()
    logits = model(torch.tensor([[1, 2, 3]]))[0, -1]
    assert len(logits) == 128
    assert set(drawn(logits, 2_000, temperature=1e6)) == set(range(20))
    assert set(drawn(logits, 500, temperature=1e6, top_k=128)) <= set(range(20))
    assert max(drawn(logits - 1e3, temperature=0)) < 20


def generated(model: GPT, ids: list[int], **changes: object) -> list[int]:
    settings = {"tokens": 12, "temperature": 1.0, "top_k": None, "seed": 0, "end_of_text": 99}
    return generate(model, ids, **(settings | changes))  # type: ignore[arg-type]


def test_the_seed_decides() -> None:
    model = GPT(SHAPE)
    assert generated(model, [1]) == generated(model, [1])
    assert generated(model, [1]) != generated(model, [1], seed=1)
    assert len(generated(model, [1])) == 12


def test_a_context_that_is_too_long_loses_its_beginning() -> None:
    model = GPT(SHAPE)
    assert generated(model, [9, 9, 9, 1, 2, 3, 4, 5, 6]) == generated(model, [1, 2, 3, 4, 5, 6])
    assert generated(model, [9, 1, 2, 3, 4, 5]) != generated(model, [1, 2, 3, 4, 5])


def test_end_of_text_ends_it_and_is_left_out() -> None:
    model = GPT(SHAPE)
    free = generated(model, [1])
    at = 5
    assert free[at] not in free[:at]
    assert generated(model, [1], end_of_text=free[at]) == free[:at]


@pytest.fixture
def corpus(make_store: Callable[..., Path], tiny: Callable[..., TrainConfig]) -> Path:
    root = make_store()
    train(root, tiny(steps=20, dropout=0.0, evaluate_every=20, checkpoint_every=10), Silent())
    return root


def said(root: Path, prompt: str, **changes: object) -> str:
    settings = {"tokens": 6, "temperature": 0.0, "top_k": None, "seed": 0, "encoder": Letters()}
    return sample(root, prompt, **(settings | changes))  # type: ignore[arg-type]


def test_a_model_that_learned_to_count_counts(make_store: Callable[..., Path], tiny: Callable[..., TrainConfig]) -> None:
    root = make_store(train=[[(first + place) % 40 for place in range(19)] for first in range(40)], val=[])
    train(root, tiny(steps=150, dropout=0.0, checkpoint_every=150), Silent())
    assert said(root, "ABCD") == "ABCDEFGHIJ"
    assert said(root, "TUV") == "TUVWXYZ[\\"


@pytest.mark.parametrize(("attention", "before"), [("document", []), ("window", [49])])
def test_a_prompt_begins_as_documents_did_in_training(
    make_store: Callable[..., Path],
    tiny: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
    attention: str,
    before: list[int],
) -> None:
    root = make_store()
    train(root, tiny(steps=1, attention=attention), Silent())
    seen: list[list[int]] = []
    forward = GPT.forward
    monkeypatch.setattr(GPT, "forward", lambda model, ids: seen.append(ids[0].tolist()) or forward(model, ids))
    said(root, "AB", tokens=1)
    said(root, "", tokens=1)
    assert seen == [[*before, 0, 1], [49]]


def test_a_prompt_may_be_empty_and_stays_in_the_answer(corpus: Path) -> None:
    assert len(said(corpus, "", temperature=1.0)) <= 6
    answer = said(corpus, "BCD", temperature=1.0, seed=4, top_k=3)
    assert answer.startswith("BCD")
    assert answer == said(corpus, "BCD", temperature=1.0, seed=4, top_k=3)


def test_the_checkpoint_before_a_broken_one_speaks(corpus: Path) -> None:
    (corpus / "model/checkpoints/step-00000020.weights.safetensors").write_bytes(b"")
    assert said(corpus, "ABCD").startswith("ABCD")
    (corpus / "model/checkpoints/step-00000010.json").write_bytes(b"{}")
    with pytest.raises(CorruptFile):
        said(corpus, "ABCD")


def test_another_tokenizer_is_refused(corpus: Path) -> None:
    with pytest.raises(StaleInput, match="eeee"):
        said(corpus, "A", encoder=Letters(fingerprint="e" * 64))


def test_without_a_model_there_is_nothing_to_say(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="no trained model"):
        said(tmp_path, "A")


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"temperature": -1.0}, {"temperature": math.nan}, {"top_k": 0}])
def test_settings_out_of_bounds_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="sample: "):
        said(tmp_path, "A", **wrong)
