"""The estimate of memory beside peaks of processes, and what does not fit."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.model.runs import Make, Tiny, Told, windows_of
from tokenmill.model import memory
from tokenmill.model.gpt import GPT
from tokenmill.model.loss import next_token_loss
from tokenmill.model.memory import LiveBytes
from tokenmill.model.shape import PRESETS, Shape, shape_of
from tokenmill.model.train import train
from tokenmill.pipeline.base import shortage
from tokenmill.pipeline.base.errors import OutOfMemory
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.config.train import Preset

MEASURE = """
import dataclasses, json, re, sys, torch
from pathlib import Path
from tokenmill.model import memory, optim
from tokenmill.model.encoders import model_of
from tokenmill.model.shape import shape_of
from tokenmill.pipeline.config import TrainConfig

def held(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

def updates(config, shape, count):
    model = model_of(shape, dropout=config.dropout, recompute=config.recompute)
    made = optim.optimizers(model, config)
    for _ in range(count):
        batch, loss_of = memory._example(shape, config.batch_windows, config.context_tokens, apart=True)
        loss = loss_of(model, batch, z_loss=config.z_loss, chunk_tokens=config.loss_chunk_tokens)
        (loss.nats + loss.penalty).backward()
        optim.update(made, loss.nats.detach(), rate=1.0, clip_norm=1.0, halted=torch.zeros(()))

settings = json.loads(sys.argv[1])
vocabulary, kind = settings.pop("vocabulary"), settings.pop("kind", {})
memory.arrange(sparing=True)
torch.set_num_threads(1)
# The libraries' own memory comes with the first update.
small = {"layers": 1, "width": 8 * settings["heads"], "context_tokens": 32}
config = TrainConfig.model_validate({**settings, **small})
updates(config, shape_of(config, 50), 1)
before = held("VmRSS")
config = TrainConfig.model_validate(settings)
updates(config, dataclasses.replace(shape_of(config, vocabulary), **kind), 2)
print(held("VmHWM") - before)
"""
OTHERS: dict[str, object] = {
    **{"model": "modern", "layers": 6, "width": 384, "heads": 6},
    **{"context_tokens": 256, "batch_windows": 8, "vocabulary": 8_192},
}
SHAPES: list[dict[str, object]] = [
    {"model": "gpt2", "layers": 12, "width": 192, "heads": 6, "context_tokens": 256, "batch_windows": 4, "vocabulary": 4_096},
    {"model": "gpt2", "layers": 4, "width": 512, "heads": 8, "context_tokens": 512, "batch_windows": 4, "vocabulary": 8_192},
    {"model": "modern", "layers": 2, "width": 768, "heads": 6, "context_tokens": 128, "batch_windows": 2, "vocabulary": 32_768},
    {"model": "modern", "layers": 6, "width": 384, "heads": 6, "context_tokens": 512, "batch_windows": 4, "vocabulary": 2_048},
    {
        **{"model": "llama", "layers": 8, "width": 256, "heads": 8, "kv_heads": 2, "context_tokens": 256, "batch_windows": 4},
        **{"recompute": True, "loss_chunk_tokens": 256, "vocabulary": 8_192},
    },
    {
        **{"model": "llama", "layers": 4, "width": 384, "heads": 6, "context_tokens": 256, "batch_windows": 8, "z_loss": 1e-4},
        **{"optimizer": "adamw", "dropout": 0.1, "vocabulary": 4_096},
    },
    {**OTHERS, "kind": {"classes": 3}},
    {**OTHERS, "kind": {"architecture": "encoder", "target_tokens": 38}},
    {**OTHERS, "kind": {"architecture": "encoder-decoder", "source_tokens": 231, "target_tokens": 52}},
]


@pytest.mark.parametrize(
    "settings", [pytest.param(one, marks=[] if number == 0 else pytest.mark.soak) for number, one in enumerate(SHAPES)]
)
def test_the_estimate_is_within_10_percent_of_a_process(settings: dict[str, object]) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, json.dumps(settings)], capture_output=True, check=True, text=True)
    config = TrainConfig.model_validate({name: value for name, value in settings.items() if name not in ("vocabulary", "kind")})
    vocabulary, kind = settings["vocabulary"], settings.get("kind", {})
    assert isinstance(vocabulary, int)
    assert isinstance(kind, dict)
    shape = dataclasses.replace(shape_of(config, vocabulary), **kind)
    estimated = memory.estimate(shape, config, precision=torch.float32).total
    assert int(done.stdout) / 1.1 < estimated < int(done.stdout) * 1.1, (estimated, int(done.stdout))


def test_what_makes_memory_less_or_more() -> None:
    def total(**changes: object) -> int:
        settings = {"layers": 6, "heads": 2, "width": 64, "context_tokens": 128, "batch_windows": 8}
        config = TrainConfig.model_validate(settings | changes)
        return memory.estimate(shape_of(config, 8_192), config, precision=torch.float32).total

    whole = total()
    assert total(recompute=True) < whole
    assert total(loss_chunk_tokens=64) < whole
    assert total(recompute=True, loss_chunk_tokens=64) < 0.4 * whole
    assert total(batch_windows=16) > 1.5 * whole
    assert total(optimizer="adamw") > total(optimizer="muon")
    assert total(steps=7, seed=3) == whole
    few = {"layers": 2, "width": 256}
    assert total(**few, accumulate=2) > 1.05 * total(**few), "gradients live beside the activations of the next batch"


@pytest.mark.parametrize("changes", [{}, {"layers": 2**31 - 1}, {"batch_windows": 2**31 - 1}])
def test_a_model_that_does_not_fit_is_refused_first(
    make_store: Make, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, changes: dict[str, int]
) -> None:
    root = make_store()
    monkeypatch.setattr(shortage, "free_memory", lambda: {"machine": 1 << 50, "container": 90_000})
    monkeypatch.setattr(memory, "arrange", lambda **how: None)
    with pytest.raises(OutOfMemory, match=r"container.*lower train\.batch_windows"):
        memory.require(
            shape_of(tiny(**changes), 50),
            tiny(**changes),
            device=torch.device("cpu"),
            precision=torch.float32,
            progress=Told(),
        )
    with pytest.raises(OutOfMemory):
        train(root, tiny(), Told())
    assert not (root / "model/checkpoints").exists()


def test_what_a_gpu_compiles_takes_less_than_is_said_and_may_begin(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    cuda, told, shape = torch.device("cuda"), Told(), shape_of(tiny(), 50)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (400_000, 1 << 30))
    needed = memory.estimate(shape, tiny(), precision=torch.float32)
    assert needed.total > 400_000
    monkeypatch.setattr(memory, "estimate", lambda *of, **how: needed)
    with pytest.raises(OutOfMemory, match=r"400 kB are free \(cuda\)"):
        memory.require(shape, tiny(), device=cuda, precision=torch.float32, progress=told)
    memory.require(shape, tiny(compile=True), device=cuda, precision=torch.float32, progress=told)
    assert told.lines[0].startswith("memory: at most ")
    with pytest.raises(OutOfMemory, match="at least"):
        memory.require(
            shape_of(tiny(layers=99), 50), tiny(compile=True, layers=99), device=cuda, precision=torch.float32, progress=told
        )


def test_little_room_is_used_sparingly(monkeypatch: pytest.MonkeyPatch, tiny: Tiny) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(memory, "arrange", lambda *, sparing: asked.append(sparing))
    shape, told = shape_of(tiny(), 50), Told()
    needed = memory.estimate(shape, tiny(), precision=torch.float32).total
    for free in (needed * 3, needed * 3 // 2):
        monkeypatch.setattr(shortage, "free_memory", lambda free=free: {"machine": free})
        memory.require(shape, tiny(), device=torch.device("cpu"), precision=torch.float32, progress=told)
    assert asked == [False, True]
    assert all(line.startswith("memory: ") and "activations" in line for line in told.lines)


def test_another_allocator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: Path())
    memory.arrange(sparing=True)


def peak(shape: Shape, rows: int, *, recompute: bool = False, chunk: int | None = None) -> int:
    """The most bytes that live at once in a forward and a backward pass, beside the weights."""
    model = GPT(shape, recompute=recompute).train()
    generator = torch.Generator().manual_seed(0)
    windows = windows_of(torch.randint(0, shape.vocabulary, (rows, shape.context_tokens + 1), generator=generator).tolist())
    with LiveBytes() as living:
        next_token_loss(model, windows, chunk_tokens=chunk).nats.backward()  # type: ignore[no-untyped-call]
    return int(living.peak)


def test_what_lives_is_counted() -> None:
    with LiveBytes() as living:
        one = torch.ones(1000)
        two = one.view(10, 100) + 1
        del one
        two = two * 2
    assert (living.live, living.peak) == (4_000, 8_000), "a view has no bytes of its own"


@pytest.mark.parametrize("preset", ["gpt2", "modern"])
def test_in_chunks_the_logits_of_one_chunk_live(preset: Preset) -> None:
    shape = Shape(layers=1, heads=2, width=16, context_tokens=64, vocabulary=1024, **PRESETS[preset])
    logits = 4 * 8 * shape.context_tokens * shape.vocabulary
    whole, parts = peak(shape, 8), peak(shape, 8, chunk=32)
    assert whole > 3 * logits, "they, their logarithms, and a gradient"
    assert parts < logits, "less than one copy of all logits"


@pytest.mark.parametrize("preset", ["gpt2", "modern", "llama"])
def test_activations_computed_again_do_not_live_in_all_layers(preset: Preset) -> None:
    def more_for_each_layer(*, recompute: bool) -> float:
        few, many = (
            peak(
                Shape(layers=layers, heads=2, width=16, context_tokens=32, vocabulary=16, **PRESETS[preset]),
                8,
                recompute=recompute,
            )
            for layers in (2, 10)
        )
        return (many - few) / 8

    stream = 4 * 8 * 32 * 16
    kept, again = (more_for_each_layer(recompute=recompute) for recompute in (False, True))
    assert kept > 8 * stream, "queries, keys, values, and what is in the MLP"
    assert again < 3 * stream, "what goes into a layer, and the gradients of its weights"
