"""The loop: it learns, says what it does, and refuses what it cannot train on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.model.runs import Make, StopAt, Stopped, Tiny, Told, log_of, published, windows_of
from tokenmill.model import checkpoint, loop, setup
from tokenmill.model.data import Windows
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss, token_losses
from tokenmill.model.objectives import objective
from tokenmill.model.shape import PRESETS, Shape
from tokenmill.model.train import train
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, Diverged, InputError, NotBuilt, OutOfMemory, StaleInput
from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.tokens import TokenStore, forget


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
    assert any(line.startswith("step 30 of 60: training loss") for line in told.lines)
    made = manifest.load(root, "model")
    assert not list(manifest.problems(root, made))
    assert made.inputs == {"pack": manifest.load(root, "pack").hash}
    assert {Path(name).name for name in made.files} == {
        f"step-00000060.{ending}" for ending in ("json", "weights.safetensors", "optimizer.safetensors")
    }


def test_bits_per_byte_are_those_of_the_whole_split(make_store: Make, tiny: Tiny) -> None:
    result = train(make_store(), tiny(evaluate_windows=1), Silent())
    first, last = result.evaluations[0], result.evaluations[-1]
    # 4 documents of 19 ids, 2 bytes each, and an end-of-text: 80 tokens for 152 bytes, 5 windows of 16.
    assert (first.tokens, last.tokens) == (16, 80)
    for one in (first, last):
        assert one.bits_per_byte == pytest.approx(one.loss / 0.693147 * 80 / 152, rel=1e-5)


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
        assert {name: a[name] for name in a.keys() & {"loss", "gradient_norm", "validation_loss"}} == pytest.approx(
            {name: b[name] for name in b.keys() & {"loss", "gradient_norm", "validation_loss"}}, rel=1e-5
        )
    models = [checkpoint.newest(root / "model/checkpoints", Silent()) for root in (big, parts)]
    one, other = (checkpoint.load_model(found) for found in models if found)
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


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


def test_a_validation_split_shorter_than_a_window_is_evaluated_whole(make_store: Make, tiny: Tiny) -> None:
    result = train(make_store(val=[[1, 2, 3]]), tiny(), Silent())
    assert {one.tokens for one in result.evaluations} == {4}
    assert all(one.bits_per_byte is not None and one.sources == {"val": one.loss} for one in result.evaluations)


def test_a_store_without_validation_trains_and_says_so(make_store: Make, tiny: Tiny) -> None:
    told = Told()
    result = train(make_store(val=[]), tiny(), told)
    assert result.evaluations == ()
    assert "no validation" in told.lines[1]


def test_a_device_that_is_not_there_is_refused(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="train.device=cuda:1"):
        train(make_store(), tiny(device="cuda:1"), Silent())


def test_bfloat16_is_not_imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    cuda = torch.device("cuda")
    assert setup.precision_of("auto", cuda) == torch.float32
    assert setup.precision_of("float16", cuda) == torch.float16
    with pytest.raises(ConfigError, match=r"bfloat16: Tesla T4 has no bfloat16; set train.precision to float16"):
        setup.precision_of("bfloat16", cuda)
    monkeypatch.setattr(setup, "has_bfloat16", lambda device: True)
    assert setup.precision_of("auto", cuda) == setup.precision_of("bfloat16", cuda) == torch.bfloat16


def test_a_precision_does_not_outlive_its_run() -> None:
    setup.precision_of("tf32", torch.device("cpu"))
    assert torch.get_float32_matmul_precision() == "high"
    setup.precision_of("auto", torch.device("cpu"))
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_gpu_that_is_full_is_an_error_of_ours(make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_store()
    with pytest.raises(Stopped):
        train(root, tiny(), StopAt(6))

    def full(*windows: object, **settings: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. If reserved but unallocated, see ...")

    monkeypatch.setattr(objective, "next_token_loss", full)
    with pytest.raises(OutOfMemory, match=r"do not fit: CUDA out of memory\. Tried .* 2\.00 GiB; lower train\.batch_windows"):
        train(root, tiny(), Silent())
    monkeypatch.undo()
    assert "do not fit" in (root / "model/training.html").read_text()
    assert train(root, tiny(batch_windows=2, accumulate=2), Silent()).steps_now == 8


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
def test_gradients_do_not_depend_on_how_targets_are_divided(accumulate: int, z_loss: float) -> None:
    """With masks drawn at random, batches have few targets or many; each target has the same weight all the same."""
    generator = torch.Generator().manual_seed(accumulate)
    ids = torch.randint(0, 50, (4, 17), generator=generator)
    kept = torch.rand((4, 17), generator=generator) < torch.tensor([0.05, 0.3, 0.6, 1.0])[:, None]
    whole = Windows(ids=ids, kept=kept, starts=None, targets=int(kept[:, 1:].sum()))
    gradients = []
    for parts in (1, accumulate):
        model = GPT(Shape(layers=2, heads=2, width=16, context_tokens=16, vocabulary=50))
        for some in torch.arange(4).chunk(parts):
            one = dataclasses.replace(whole, ids=ids[some], kept=kept[some])
            loss = next_token_loss(model, one, z_loss=z_loss)
            ((loss.nats + loss.penalty) / whole.targets).backward()  # type: ignore[no-untyped-call]
        gradients.append([parameter.grad for parameter in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_an_update_divides_by_all_targets_that_count(make_store: Make, tiny: Tiny) -> None:
    """A run over one document that was forgotten learns the same in one batch of four windows as in four of one."""
    logs = []
    for sizes in ({"batch_windows": 4}, {"batch_windows": 1, "accumulate": 4}):
        root = make_store(folder=str(sizes))
        gone = TokenStore.open(root / "tokens").split("train").documents_table()["doc_id"].to_pylist()[3:20]
        with files.lock(root):
            forget.forget(root, [forget.request_ids("ids_file", "gone", [one.hex() for one in gone])])
        train(root, tiny(dropout=0.0, steps=4, **sizes), Silent())
        logs.append([(line["loss"], line["gradient_norm"]) for line in log_of(root) if "loss" in line])
    for a, b in zip(*logs, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_in_chunks_loss_and_gradients_are_the_same(chunk: int) -> None:
    ids = torch.randint(0, 50, (4, 17), generator=torch.Generator().manual_seed(0))
    kept = torch.rand((4, 17), generator=torch.Generator().manual_seed(1)) < 0.5
    windows = Windows(ids=ids, kept=kept, starts=None, targets=int(kept[:, 1:].sum()))
    made = []
    for size in (None, chunk):
        model = GPT(Shape(layers=1, heads=2, width=16, context_tokens=16, vocabulary=50, **PRESETS["modern"]), seed=2)
        with torch.no_grad():
            model.head.weight.normal_(generator=torch.Generator().manual_seed(4))
        loss = next_token_loss(model, windows, z_loss=1e-3, chunk_tokens=size)
        (loss.nats + loss.penalty).backward()  # type: ignore[no-untyped-call]
        made.append((loss, [parameter.grad for parameter in model.parameters()]))
        losses = token_losses(model, windows, chunk_tokens=size)
        assert losses.sum().item() == pytest.approx(loss.nats.item(), rel=1e-5)
    torch.testing.assert_close(made[0][0], made[1][0], rtol=1e-6, atol=0)
    for a, b in zip(made[0][1], made[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_activations_computed_again_give_the_same_gradients() -> None:
    ids = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
    gradients = []
    for recompute in (False, True):
        model = GPT(Shape(layers=3, heads=2, width=16, context_tokens=12, vocabulary=50), dropout=0.3, recompute=recompute)
        torch.manual_seed(5)
        next_token_loss(model.train(), windows_of(ids.tolist())).nats.backward()  # type: ignore[no-untyped-call]
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_learns(make_store: Make, tiny: Tiny, precision: str) -> None:
    root = make_store()
    result = train(root, tiny(steps=60, dropout=0.0, precision=precision), Silent())
    assert result.evaluations[-1].loss < 2.5
    scales = [line.get("loss_scale") for line in log_of(root) if "loss" in line]
    assert (scales[0] is None) == (precision == "bfloat16")


def test_a_validation_split_that_is_forgotten_has_no_loss(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    ids = TokenStore.open(root / "tokens").split("val").documents_table()["doc_id"].to_pylist()
    with files.lock(root):
        forget.forget(root, [forget.request_ids("ids_file", "gone", [one.hex() for one in ids])])
    told = Told()
    assert train(root, tiny(steps=4), told).evaluations == ()
    assert any("no validation, what it reads is forgotten" in line for line in told.lines)
    assert not any("validation_loss" in line for line in log_of(root))
    assert train(root, tiny(steps=4), told).steps_now == 0


def test_a_hopeless_loss_ends_the_run(make_store: Make, tiny: Tiny) -> None:
    with pytest.raises(Diverged, match=r"far above the 3.91 of guessing; lower train.learning_rate=50.0"):
        train(make_store(), tiny(steps=60, learning_rate=50.0, min_learning_rate=50.0, warmup_steps=0), Silent())


def test_a_warm_up_longer_than_the_run_is_said(make_store: Make, tiny: Tiny) -> None:
    told = Told()
    train(make_store(), tiny(warmup_steps=12), told)
    assert told.lines[1] == "train.warmup_steps=12 is not below train.steps=12: no update has the full rate"


def test_a_batch_that_never_grows_up_is_said(make_store: Make, tiny: Tiny) -> None:
    told = Told()
    train(make_store(), tiny(accumulate=2, batch_windows=2, ramp_steps=40), told)
    assert told.lines[1] == "train.ramp_steps=40 is not below train.steps=12: no update has the full batch"
    with pytest.raises(ValueError, match="ramp_steps"):
        tiny(ramp_steps=1_000_001)


def test_logits_are_counted_from_the_frequency_of_ids(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    result = train(root, tiny(model="modern", optimizer="muon", steps=40, dropout=0.0), Silent())
    store = TokenStore.open(root / "tokens")
    split = store.split("train")
    counts = np.bincount(split.read(0, split.tokens), minlength=50) + 1
    found = checkpoint.newest(root / "model/checkpoints", Silent())
    assert found is not None
    offset = checkpoint.load_model(found).offset
    torch.testing.assert_close(offset[:50], torch.from_numpy(np.log(counts / counts.sum())).float())
    assert torch.isneginf(offset[50:]).all()
    # The first loss is that of guessing by frequency.
    val = store.split("val")
    guess = -offset[torch.from_numpy(val.read(0, val.tokens).astype(np.int64))].mean().item()
    assert result.evaluations[0].loss == pytest.approx(guess, abs=1e-5)
    assert result.evaluations[-1].loss < 2.5


def test_a_store_of_another_tokenizer_is_refused_with_both(make_store: Make, tiny: Tiny) -> None:
    root = make_store()
    file = files.write_bytes(root / "tokenizer/tokenizer.json", b"{}")
    facts = {"vocabulary": 50, "end_of_text": 49, "pattern": None, "own_pattern": None}

    def holds(fingerprint: str) -> None:
        made = {**facts, "fingerprint": fingerprint}
        manifest.commit(
            root,
            Manifest(stage="tokenizer", version=1, config={}, inputs={}, files={"tokenizer/tokenizer.json": file}, facts=made),
        )

    holds("e" * 64)
    with pytest.raises(StaleInput, match=f"packed with the tokenizer {'f' * 64}, but the corpus has {'e' * 64}; run the build"):
        train(root, tiny(), Silent())
    assert not (root / "model").exists()
    holds("f" * 64)
    (root / "tokenizer/tokenizer.json").write_bytes(b"[]")
    with pytest.raises(CorruptFile, match="tokenizer.json: holds 2 bytes"):
        train(root, tiny(), Silent())
    (root / "tokenizer/tokenizer.json").write_bytes(b"{}")
    train(root, tiny(steps=1), Silent())
