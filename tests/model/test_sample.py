"""Sampling: what may be chosen, and that the same question has the same answer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch

from tokenmill.model.generate import Choice, generate
from tokenmill.model.gpt import GPT
from tokenmill.model.sample import _pieces, sample
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.model.train import train
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, NotBuilt, StaleInput
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

SHAPE = Shape(layers=1, heads=2, width=8, context_tokens=6, vocabulary=20)


@dataclass(frozen=True)
class Letters:
    """A tokenizer of 50 ids: id k is the k-th character from "A" on."""

    fingerprint: str = "f" * 64
    vocabulary: int = 50
    end_of_text: int = 49
    exact: bool = True

    def spans(self, text: str) -> npt.NDArray[np.int64]:
        raise NotImplementedError

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
        rows = texts.to_pylist()
        ids = [ord(letter) - ord("A") for text in rows for letter in text]
        return np.array(ids, np.uint32), np.array([len(text) for text in rows], np.int64)

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        return "".join(chr(ord("A") + number) for number in ids).encode()


def drawn(logits: torch.Tensor, times: int = 300, *, text: Sequence[int] = (0,), **how: Any) -> Counter[int]:
    generator = torch.Generator().manual_seed(0)
    choice = Choice(**how)
    return Counter(int(choice.of(logits[None], torch.tensor([list(text)]), generator)) for _ in range(times))


def test_top_k_leaves_the_k_likeliest() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0, 2.0, -1.0])
    assert set(drawn(logits, top_k=1)) == {1}
    assert set(drawn(logits, top_k=2)) == {1, 3}
    assert set(drawn(logits, top_k=99, temperature=5.0)) == set(drawn(logits, temperature=5.0)) == {0, 1, 2, 3, 4}


def test_top_p_and_min_p_leave_the_likeliest() -> None:
    logits = torch.tensor([0.1, 0.5, 0.25, 0.15]).log()
    assert set(drawn(logits, top_p=0.5)) == {1}
    assert set(drawn(logits, top_p=0.51)) == {1, 2}
    assert set(drawn(logits, top_p=0.8)) == {1, 2, 3}
    assert set(drawn(logits, top_p=1e-9)) == {1}
    assert set(drawn(logits, top_p=1e-300)) == {1}
    assert set(drawn(logits, min_p=0.49)) == {1, 2}
    assert set(drawn(logits, min_p=0.99)) == {1}


def test_what_was_said_becomes_less_likely() -> None:
    logits = torch.tensor([2.0, 1.5, -1.0])
    assert set(drawn(logits, temperature=0)) == {0}
    assert set(drawn(logits, temperature=0, repetition_penalty=1.4)) == {1}
    assert set(drawn(logits, temperature=0, repetition_penalty=1.4, text=[0, 1, 0])) == {0}, "once, however often it was said"
    rare = drawn(logits, 2_000, text=[2], repetition_penalty=3.0)[2]
    assert rare < drawn(logits, 2_000, text=[0], repetition_penalty=1.0)[2], "a negative logit falls, too"


def test_draws_follow_the_probabilities() -> None:
    counts = drawn(torch.tensor([0.0, math.log(3.0)]), 4_000)
    assert counts[1] / 4_000 == pytest.approx(0.75, abs=0.03)
    # Twice the temperature takes the square root of the odds.
    assert drawn(torch.tensor([0.0, math.log(9.0)]), 4_000, temperature=2.0)[1] / 4_000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("temperature", [0.0, -0.0, 1e-9, 1e-30, 1e-300])
def test_no_temperature_takes_the_likeliest(temperature: float) -> None:
    assert set(drawn(torch.tensor([1.0, 5.0, 4.9]), temperature=temperature)) == {1}


def test_padding_is_never_chosen_however_hot() -> None:
    model = GPT(SHAPE).eval()
    logits = model(torch.tensor([[1, 2, 3]]))[0, -1]
    assert len(logits) == 128
    assert set(drawn(logits, 2_000, temperature=1e6)) == set(drawn(logits, 2_000, temperature=1e9)) == set(range(20))
    assert set(drawn(logits, 500, temperature=1e6, top_k=128)) <= set(range(20))
    assert max(drawn(logits - 1e3, temperature=0)) < 20


def generated(model: GPT, *prompts: list[int], **changes: Any) -> list[list[int | None]]:
    settings: dict[str, Any] = {"tokens": 12, "choice": Choice(), "seed": 0, "end_of_text": 99}
    steps = list(generate(model, prompts, **(settings | changes)))
    return [list(one) for one in zip(*steps, strict=True)]


def test_the_seed_decides() -> None:
    model = GPT(SHAPE)
    assert generated(model, [1]) == generated(model, [1])
    assert generated(model, [1]) != generated(model, [1], seed=1)
    assert len(generated(model, [1])[0]) == 12


@pytest.mark.parametrize(
    "changes",
    [
        {},
        PRESETS["modern"],
        {**PRESETS["llama"], "kv_heads": 1},
        {"positions": "sinusoidal"},
        {"sliding_window": 3},
        {**PRESETS["modern"], "sliding_window": 3},
    ],
)
@pytest.mark.parametrize("prompts", [[[1, 2]], [[3], [1, 2, 3, 4], [5, 6]], [[9] * 15, [1]]])
def test_greedy_ids_are_the_same_without_the_cache(changes: dict[str, Any], prompts: list[list[int]]) -> None:
    """Also when the context is full, and goes on with its last half."""
    model = GPT(Shape(layers=2, heads=2, width=8, context_tokens=8, vocabulary=20, **changes), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    greedy = {"choice": Choice(temperature=0), "tokens": 30}
    with_cache = generated(model, *prompts, **greedy)
    assert with_cache == generated(model, *prompts, cached=False, **greedy)
    assert len(prompts) == 1 or len({tuple(one) for one in with_cache}) > 1, "prompts tell"
    if len(prompts[0]) < 8:
        short = {**greedy, "tokens": 4}
        assert [one[:4] for one in with_cache] == [generated(model, one, **short)[0] for one in prompts], "alone as together"


def test_end_of_text_ends_one_and_the_others_go_on() -> None:
    model = GPT(SHAPE)
    free = generated(model, [1])[0]
    at = 5
    assert free[at] not in free[:at]
    assert generated(model, [1], end_of_text=free[at])[0] == free[:at]
    end = generated(model, [1], [2, 3], choice=Choice(temperature=2.0))[0][0]
    first, second = generated(model, [1], [2, 3], choice=Choice(temperature=2.0), end_of_text=end)
    assert set(first) == {None}
    assert None not in second[:1]


@pytest.fixture
def corpus(make_store: Callable[..., Path], tiny: Callable[..., TrainConfig]) -> Path:
    root = make_store()
    train(root, tiny(steps=20, dropout=0.0, evaluate_every=20, checkpoint_every=10), Silent())
    return root


def said(root: Path, prompt: str, **changes: Any) -> str:
    how = {"temperature": 0.0, **{name: changes.pop(name) for name in ("temperature", "top_k") if name in changes}}
    settings: dict[str, Any] = {"tokens": 6, "seed": 0, "encoder": Letters()}
    return "".join(sample(root, prompt, choice=Choice(**how), **(settings | changes)))


def test_a_model_that_learned_to_count_counts(make_store: Callable[..., Path], tiny: Callable[..., TrainConfig]) -> None:
    root = make_store(train=[[(first + place) % 40 for place in range(19)] for first in range(40)], val=[])
    train(root, tiny(steps=150, dropout=0.0, checkpoint_every=150), Silent())
    assert said(root, "ABCD") == "ABCDEFGHIJ"
    assert said(root, "TUV") == "TUVWXYZ[\\"


def test_a_prompt_begins_as_documents_did_in_training(
    make_store: Callable[..., Path], tiny: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_store()
    train(root, tiny(steps=1), Silent())
    seen: list[list[int]] = []
    hidden = GPT.hidden

    def noting(model: GPT, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.append(ids[0].tolist())
        return hidden(model, ids, *rest)

    monkeypatch.setattr(GPT, "hidden", noting)
    said(root, "AB", tokens=1)
    said(root, "", tokens=1)
    assert seen == [[49, 0, 1], [49]]


def test_it_stops_at_a_text_and_gives_nothing_of_it(corpus: Path) -> None:
    whole = said(corpus, "ABCD", tokens=8)
    made = whole.removeprefix("ABCD")
    assert said(corpus, "ABCD", tokens=8, stop=[made[2:4]]) == "ABCD" + made[:2]
    assert said(corpus, "ABCD", tokens=8, stop=["zz", made[:1]]) == "ABCD"
    assert said(corpus, "ABCD", tokens=8, stop=[made[-1] + "z"]) == whole, "what only began it is given after all"
    assert said(corpus, "ABCD", tokens=8, stop=["ABCD"]) == whole, "the prompt does not count"


def test_pieces_are_whole_characters() -> None:
    letters = {0: b"a", 1: b"\xe2", 2: b"\x82", 3: b"\xac", 4: b"b"}

    class Bytes(Letters):
        def decode_bytes(self, ids: Iterable[int]) -> bytes:
            return b"".join(letters[one] for one in ids)

    assert list(_pieces(Bytes(), [0], iter([1, 2, 3, 4]), [])) == ["a", "\u20ac", "b", ""]
    assert "".join(_pieces(Bytes(), [0], iter([4, 1]), [])) == "ab\N{REPLACEMENT CHARACTER}"


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


@pytest.mark.parametrize(
    "wrong",
    [
        *({"tokens": wrong} for wrong in (0, -1, 2**31, 2**70)),
        *({"seed": wrong} for wrong in (-1, 2**63, 2**70)),
        *({"temperature": wrong} for wrong in (-1.0, -1e-300, math.nan, math.inf, 1e300)),
        {"top_k": 0},
        {"stop": [""]},
    ],
)
def test_settings_out_of_bounds_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="sample: "):
        said(tmp_path, "A", **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"top_p": wrong} for wrong in (0.0, -0.0, 1.1, math.nan, math.inf)),
        *({"min_p": wrong} for wrong in (1.0, -0.1, math.nan)),
        *({"repetition_penalty": wrong} for wrong in (0.0, 1e-300, 1e300, math.nan, math.inf)),
    ],
)
def test_choices_out_of_bounds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"sample: {next(iter(wrong))}="):
        Choice(**wrong)
