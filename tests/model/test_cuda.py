"""Training on a GPU: every precision, a stopped run, documents without a mask, compiled layers, and memory."""

from __future__ import annotations

import dataclasses
import signal
from typing import Any

import pytest
import torch

from tests.model.runs import Make, SignalAt, StopAt, Stopped, Tiny, log_of
from tests.model.test_memory import SHAPES
from tokenmill.model import checkpoint, data, evaluate, memory, optim
from tokenmill.model.data import Windows
from tokenmill.model.generate import Choice, generate
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.parts import Scope, attend, attend_in_steps
from tokenmill.model.shape import PRESETS, Shape, shape_of
from tokenmill.model.train import train
from tokenmill.pipeline.base.errors import ConfigError, Interrupted, OutOfMemory
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore"),  # Torch's compiler uses what torch deprecates, and fails where that is an error.
]
CUDA = torch.device("cuda")


@pytest.mark.parametrize("precision", ["auto", "float32", "tf32", "bfloat16", "float16"])
@pytest.mark.parametrize("preset", [{"model": "gpt2"}, {"model": "modern", "optimizer": "muon"}])
def test_it_learns_in_every_precision(make_store: Make, tiny: Tiny, precision: str, preset: dict[str, str]) -> None:
    root = make_store()
    config = tiny(**preset, steps=60, dropout=0.0, precision=precision, device="cuda", peak_teraflops=1.0)
    assert train(root, config, Silent()).evaluations[-1].loss < 2.5
    last = [line for line in log_of(root) if "loss" in line][-1]
    assert last["mfu"] > 0  # type: ignore[operator]
    assert all(seconds > 0 for seconds in last["seconds"].values())  # type: ignore[attr-defined]


def test_gradients_that_overflow_are_skipped_until_they_do_not(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optim, "FIRST_SCALE", 2.0**30)
    root = make_store()
    config = tiny(steps=60, dropout=0.0, precision="float16", device="cuda")
    assert train(root, config, Silent()).evaluations[-1].loss < 2.7
    lines = [line for line in log_of(root) if "loss" in line]
    skipped = [line["step"] for line in lines if line.get("skipped")]
    assert skipped[:3] == [1, 2, 3]
    assert len(skipped) < 20
    assert lines[3]["loss_scale"] == 2.0**27


@pytest.mark.parametrize("compiled", [False, True])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(make_store: Make, tiny: Tiny, compiled: bool) -> None:
    config = tiny(device="cuda", compile=compiled, precision="bfloat16", model="modern", optimizer="muon", dropout=0.0)
    whole, stopped, asked = (make_store(folder=name) for name in ("whole", "stopped", "asked"))
    losses = [one.loss for one in train(whole, config, Silent()).evaluations]
    with pytest.raises(Stopped):
        train(stopped, config, StopAt(6))
    with pytest.raises(Interrupted, match="stopped after step 6;"):
        train(asked, config, SignalAt(6, signal.SIGTERM))
    for root, left in ((stopped, 8), (asked, 6)):
        result = train(root, config, Silent())
        assert result.steps_now == left
        assert [one.loss for one in result.evaluations] == pytest.approx(losses, rel=2e-3)


def test_compiled_layers_learn_the_same_and_are_saved_alike(make_store: Make, tiny: Tiny) -> None:
    losses, names = [], []
    for compiled in (False, True):
        root = make_store(folder=str(compiled))
        result = train(root, tiny(device="cuda", compile=compiled, dropout=0.0, precision="bfloat16"), Silent())
        losses.append([one.loss for one in result.evaluations])
        found = checkpoint.newest(root / "model/checkpoints", Silent())
        assert found is not None
        names.append(checkpoint.load_model(found).state_dict().keys())
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)
    assert names[0] == names[1]


def drawn(size: tuple[int, ...], seed: int, dtype: torch.dtype) -> torch.Tensor:
    made = torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(CUDA, dtype)
    return made.requires_grad_()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("groups", "window"), [(4, 0), (4, 5), (2, 0), (1, 40)])
def test_documents_by_their_lengths_are_those_by_a_mask(dtype: torch.dtype, groups: int, window: int) -> None:
    rows, tokens = 3, 64
    edges = torch.tensor([0, 1, 30, 64, 128, 130, 192], dtype=torch.int32, device=CUDA)
    begins = torch.zeros(rows * tokens, dtype=torch.int64, device=CUDA)
    begins[edges[:-1].long()] = edges[:-1].long() % tokens
    starts = begins.view(rows, tokens).cummax(dim=1).values
    at = torch.arange(tokens, device=CUDA)
    mask = (at <= at[:, None]) & (at >= starts[..., None])
    if window:
        mask = mask & (at > at[:, None] - window)
    parts = [drawn((rows, heads, tokens, 32), seed, dtype) for seed, heads in enumerate((4, groups, groups))]
    made = []
    for fast in (True, False):
        if fast:
            scope = Scope(mask=None, causal=True, rotation=None, edges=edges, window=window)
            mixed = attend(parts[0], parts[1], parts[2], scope)
        else:
            query, key, value = (part.float() for part in parts)
            mixed = attend_in_steps(query, key, value, mask[:, None])
        made.append([mixed.float(), *(part.float() for part in torch.autograd.grad(mixed.float().square().sum(), parts))])
    for ours, slow in zip(*made, strict=True):
        assert (ours - slow).norm() < 1e-2 * slow.norm()


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
@pytest.mark.parametrize("changes", [{}, {"kv_heads": 2, "sliding_window": 12}])
def test_a_model_sees_no_other_document(preset: str, changes: dict[str, Any]) -> None:
    shape = Shape(layers=2, heads=4, width=64, context_tokens=32, vocabulary=50, **{**PRESETS[preset], **changes})  # type: ignore[index]
    model = GPT(shape, seed=1).to(CUDA)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    ids = torch.randint(0, 50, (2, 33), generator=torch.Generator().manual_seed(0))
    starts = torch.tensor([[0] * 5 + [5] * 27, [0] * 20 + [20] * 12])
    masked = Windows(ids=ids, kept=None, starts=starts, targets=64)
    edged = dataclasses.replace(masked, edges=torch.tensor([0, 5, 32, 52, 64], dtype=torch.int32))
    losses = []
    for windows in (masked, edged):
        with evaluate.autocast(CUDA, torch.bfloat16):
            loss = next_token_loss(model, data.moved(windows, CUDA))
        loss.nats.backward()  # type: ignore[no-untyped-call]
        losses.append([loss.nats.item(), *(parameter.grad.norm().item() for parameter in model.parameters())])  # type: ignore[union-attr]
        model.zero_grad()
    assert losses[0] == pytest.approx(losses[1], rel=0.03, abs=1e-3)


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
def test_greedy_ids_are_the_same_without_the_cache(preset: str) -> None:
    shape = Shape(layers=2, heads=2, width=32, context_tokens=16, vocabulary=20, **PRESETS[preset])  # type: ignore[index]
    model = GPT(shape, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    asked: dict[str, Any] = {"tokens": 40, "choice": Choice(temperature=0), "seed": 0, "end_of_text": 99}
    prompts = [[3], [1, 2, 3, 4], [5, 6]]
    with_cache, without = (list(generate(model.to(CUDA), prompts, cached=cached, **asked)) for cached in (True, False))
    assert with_cache == without == list(generate(model.to("cpu"), prompts, **asked))


def peak(config: TrainConfig, shape: Shape) -> int:
    """Bytes of two updates, as the caching allocator counts what is asked for."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    model = GPT(shape, dropout=config.dropout, recompute=config.recompute).to(CUDA)
    made = optim.optimizers(model, config)
    rows, tokens = config.batch_windows, config.context_tokens
    for _ in range(2):
        starts = torch.zeros((rows, tokens), dtype=torch.int64)
        starts[:, tokens // 2 :] = tokens // 2
        windows = Windows(
            ids=torch.randint(shape.vocabulary, (rows, tokens + 1)),
            kept=None,
            starts=starts,
            targets=starts.numel(),
            edges=torch.arange(0, rows * tokens + 1, tokens // 2, dtype=torch.int32),
        )
        windows = data.moved(windows, CUDA)
        with evaluate.autocast(CUDA, torch.bfloat16):
            loss = next_token_loss(model, windows, z_loss=config.z_loss, chunk_tokens=config.loss_chunk_tokens)
        (loss.nats + loss.penalty).backward()  # type: ignore[no-untyped-call]
        optim.update(made, loss.nats.detach(), rate=1.0, clip_norm=1.0, halted=torch.zeros((), device=CUDA))
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.parametrize("settings", SHAPES)
def test_the_estimate_is_within_15_percent_of_a_gpu(settings: dict[str, object]) -> None:
    config = TrainConfig.model_validate({name: value for name, value in settings.items() if name != "vocabulary"})
    vocabulary = settings["vocabulary"]
    assert isinstance(vocabulary, int)
    shape = shape_of(config, vocabulary)
    estimated = memory.estimate(shape, config, precision=torch.bfloat16, device=CUDA).total
    # The libraries' own workspaces come with the first update.
    peak(config, dataclasses.replace(shape, layers=1))
    measured = peak(config, shape)
    assert measured / 1.15 < estimated < measured * 1.15, (estimated, measured)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_that_is_full_is_an_error_of_ours(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    root = make_store(train=[[1] * 40_000])
    config = tiny(device="cuda", compile=compiled, layers=4, width=512, batch_windows=2_000, precision="bfloat16")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2e9 / torch.cuda.mem_get_info()[1])
    try:
        monkeypatch.setattr(memory, "require", lambda *shape, **more: None)
        with pytest.raises(OutOfMemory, match=r"(?s)do not fit: .*lower train.batch_windows"):
            train(root, config, Silent())
        monkeypatch.undo()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "do not fit" in (root / "model/training.html").read_text()
    assert train(root, tiny(device="cuda", width=512, layers=4, batch_windows=8), Silent()).steps_now == 12


def test_a_gpu_that_does_not_exist_is_refused(make_store: Make, tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="train.device=cuda:99"):
        train(make_store(), tiny(device="cuda:99"), Silent())
