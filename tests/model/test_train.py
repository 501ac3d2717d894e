"""The loop: it learns, says what it does, and refuses what it cannot train on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.runs import Make, Tiny, Told, log_of, published
from tokenmill.model import checkpoint
from tokenmill.model import train as loop
from tokenmill.model.train import train
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, InputError, NotBuilt
from tokenmill.pipeline.base.progress import Silent


def test_loss_falls_and_what_is_published_can_be_verified(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    told = Told()
    result = train(root, tiny(steps=60, dropout=0.0, evaluate_every=30), told)
    assert (result.step, result.steps_now, result.tokens) == (60, 60, 60 * 4 * 16)
    assert [evaluation.step for evaluation in result.evaluations] == [0, 30, 60]
    assert result.evaluations[0].loss == pytest.approx(3.91, abs=0.1)  # ln 50
    assert result.evaluations[-1].loss < 2.5
    assert told.begun == [("train", 60 * 4 * 16, "tokens")]
    assert told.advanced == 60 * 4 * 16
    assert "step 30 of 60: training loss" in told.lines[1]
    made = manifest.load(root, "model")
    assert not list(manifest.problems(root, made))
    assert made.inputs == {"pack": manifest.load(root, "pack").hash}
    assert {Path(name).name for name in made.files} == {
        f"step-00000060.{ending}" for ending in ("json", "weights.safetensors", "optimizer.safetensors")
    }


def test_bits_per_byte_are_those_of_the_whole_split(make_store: Make, tiny: Tiny) -> None:
    result = train(make_store(), tiny(evaluate_windows=1), Silent())
    first, last = result.evaluations[0], result.evaluations[-1]
    assert (first.tokens, first.bits_per_byte) == (16, None)
    # 4 documents of 19 ids, 2 bytes each, and an end-of-text: 80 tokens for 152 bytes, 4 windows of 16.
    assert last.tokens == 64
    assert last.bits_per_byte == pytest.approx(last.loss / 0.693147 * 80 / 152, rel=1e-5)


def test_the_log_has_one_line_per_update(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    train(root, tiny(), Silent())
    lines = [line for line in log_of(root) if "loss" in line]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[0]["learning_rate"] == pytest.approx(1e-2 / 4)


def test_accumulation_equals_one_big_batch(make_store: Make, tiny: Tiny) -> None:
    big, parts = make_store(folder="big"), make_store(folder="parts")
    train(big, tiny(batch_windows=4, dropout=0.0, steps=3), Silent())
    train(parts, tiny(batch_windows=1, accumulate=4, dropout=0.0, steps=3), Silent())
    for a, b in zip(log_of(big), log_of(parts), strict=True):
        assert a == pytest.approx(b, rel=1e-5, nan_ok=False)
    models = [checkpoint.newest(root / "model/checkpoints", Silent()) for root in (big, parts)]
    one, other = (checkpoint.load_model(found) for found in models if found)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_dropout_is_drawn_from_seed_and_step_and_leaves_the_process_alone(make_store: Make, tiny: Tiny) -> None:
    one, other = make_store(folder="one"), make_store(folder="other")
    torch.manual_seed(1)
    train(one, tiny(dropout=0.3), Silent())
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert drawn == torch.rand(1)
    train(other, tiny(dropout=0.3), Silent())
    assert published(one) == published(other)
    assert len({loop._draw(seed, step) for seed in range(30) for step in range(30)}) == 900


@pytest.mark.parametrize("kind", ["flip", "cut", "gone"])
def test_a_changed_token_is_found_before_the_first_step(make_store: Make, tiny: Tiny, kind: str) -> None:
    root = make_store()
    path = root / "tokens/train/00000.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data if kind == "flip" else data[:-1])
    if kind == "gone":
        path.unlink()
    with pytest.raises(CorruptFile, match="00000.bin"):
        train(root, tiny(), Silent())
    assert not (root / "model").exists()


def test_a_store_that_is_missing_or_too_small_is_refused(make_store: Make, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="pack"):
        train(tmp_path / "nothing", tiny(), Silent())
    with pytest.raises(InputError, match="pack more text"):
        train(make_store(train=[[1, 2, 3]]), tiny(), Silent())


def test_a_store_without_validation_trains_and_says_so(make_store: Make, tiny: Tiny) -> None:
    told = Told()
    result = train(make_store(val=[]), tiny(), told)
    assert result.evaluations == ()
    assert "no validation" in told.lines[0]


def test_a_device_that_is_not_there_is_refused(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="train.device=cuda:1"):
        train(make_store(), tiny(device="cuda:1"), Silent())
