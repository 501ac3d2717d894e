"""The bench of training: its phases cover an update, and its verdict names the largest."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from tests.command import tokenmill
from tests.model.runs import Tiny
from tokenmill.model import bench
from tokenmill.model.bench import Bench, Timing
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import TokenStore

WITHIN = {"data", "head", "attention", "mlp", "rest", "optimizer"}


def checked(timing: Timing, parts: set[str]) -> None:
    assert timing.phases.keys() == {"data", "forward", "backward", "optimizer"}
    assert 0.95 <= timing.covered < 1.01
    assert timing.parts.keys() == parts
    assert sum(timing.parts.values()) == pytest.approx(sum(timing.phases.values()), rel=1e-3)


def test_phases_and_parts_cover_an_update(built: Path, tiny: Tiny) -> None:
    config = tiny(width=64, layers=3, accumulate=2)
    found = bench.bench(config, TokenStore.open(built / "tokens"), Silent(), updates=4, vocabulary=0)
    assert found.real is not None
    for timing in (found.synthetic, found.real):
        checked(timing, WITHIN)
        assert timing.tokens_per_second == pytest.approx(2 * 4 * 16 / timing.seconds)
    assert found.timing is found.real
    assert found.shape.vocabulary == 260
    assert found.product_teraflops > 0
    assert (found.peak_teraflops, found.mfu) == (None, None)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"model": "modern", "optimizer": "muon", "peak_teraflops": 2.0}, WITHIN),
        ({"model": "llama", "attention": "window", "loss_chunk_tokens": 8, "kv_heads": 1}, WITHIN),
        ({"recompute": True}, {"data", "head", "layers", "optimizer"}),
    ],
)
def test_without_a_corpus_too(tiny: Tiny, changes: dict[str, object], parts: set[str]) -> None:
    found = bench.bench(tiny(width=64, **changes), None, Silent(), updates=3, vocabulary=1_000)
    checked(found.synthetic, parts)
    assert found.real is None
    if found.mfu is not None:
        assert found.mfu == pytest.approx(found.synthetic.tokens_per_second * found.flops_per_token / 2e12)


def test_a_large_vocabulary_binds(tiny: Tiny) -> None:
    """The head's part of the operations is known, and it has the largest part of the time."""
    found = bench.bench(tiny(width=64, layers=1), None, Silent(), updates=3, vocabulary=8_192)
    assert found.head_flops == pytest.approx(6 * 8_192 * 64 / found.shape.flops_per_token)
    assert found.head_flops > 0.8
    assert found.verdict.startswith("bound by the head's matrix product and the loss; a vocabulary of 8,192 costs ")


@pytest.mark.parametrize("bound", sorted(set(bench.PARTS) - {"rest"}))
def test_the_verdict_is_one_sentence_about_the_largest_part(bound: str) -> None:
    parts = dict.fromkeys(bench.PARTS, 0.05) | {bound: 0.7, "rest": 0.9}
    timing = Timing(tokens_per_second=100.0, seconds=2.0, phases={"forward": 1.9}, parts=parts)
    shape = bench.shape_of(TrainConfig(), 8_192)
    found = Bench(
        **{"device": "d", "precision": "float32", "shape": shape, "config": TrainConfig(), "updates": 1, "flops_per_token": 1},
        **{"head_flops": 0.5, "peak_teraflops": None, "product_teraflops": 1.0, "synthetic": timing, "real": None},
    )
    share = round(100 * 0.7 / sum(parts.values()))
    assert found.verdict.startswith(f"bound by {bench.PARTS[bound]}; ")
    assert f"{share} %" in found.verdict
    assert "." not in found.verdict
    assert dataclasses.replace(found, real=timing).timing is timing


def test_hooks_change_no_update(tiny: Tiny) -> None:
    """Weights after two updates are those of a model without hooks."""
    from tokenmill.model import optim
    from tokenmill.model.gpt import GPT
    from tokenmill.model.gradients import backward
    from tokenmill.model.loss import next_token_loss
    from tokenmill.model.parallel.divided import Divided

    config, cpu = tiny(dropout=0.0), torch.device("cpu")
    shape = bench.shape_of(config, 50)
    windows = dataclasses.replace(bench._cut(config), ids=torch.randint(50, (4, 17)))
    run = bench._TimedRun(shape, config, device=cpu, precision=torch.float32, progress=Silent())
    run.timed(iter([windows] * 3), 1)
    plain = GPT(shape, seed=config.seed)
    made = optim.optimizers(plain, config)
    for _ in range(3):
        alone = Divided(model=plain)
        total = backward(alone, [windows], config, loss_of=next_token_loss, precision=torch.float32, scale=None)
        optim.update(made, total, rate=0.01, clip_norm=config.clip_norm, halted=torch.zeros(()))
    for ours, theirs in zip(run.model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_command_draws_and_gives_json(built: Path) -> None:
    small = ("--set", "train.layers=1", "--set", "train.width=32", "--set", "train.context_tokens=16", "--updates", "2")
    done = tokenmill("bench-train", built, *small)
    assert done.returncode == 0, done
    for said in ("ids at random: ", "phases together", "bound by ", "a plain matrix product reaches "):
        assert said in " ".join(done.stdout.split())
    done = tokenmill("bench-train", *small, "--vocabulary", "300", "--json")
    found = json.loads(done.stdout)
    assert (found["shape"]["vocabulary"], found["real"]) == (300, None)
    assert found["verdict"].startswith("bound by ")
    assert found["synthetic"]["covered"] > 0.95
    done = tokenmill("bench-train", built, "--vocabulary", "300")
    assert (done.returncode, "the corpus has 260 ids" in done.stderr) == (1, True), done
