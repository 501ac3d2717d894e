"""One training step on the CPU (loader, forward, backward, clipping, AdamW) beside a plain loop and transformers' GPT-2.

MB here are of ids, two bytes each: 0.01 MB/s are 5,000 tokens per second. Ours is `tokenmill train` with the preset `gpt2`,
timed from update to update, with everything that it does between them. The peers read random windows of the same store from a
memory map, have the same shape, batch and loss, and torch's fused AdamW. Rows: a model of 6 layers of 384 with a vocabulary of
8,192, and the size of the demonstration's model (`small`). The preset `modern`, with Muon and documents apart, stands alone.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 -- its usual name

from tests.bench.datatrove_peers import installed
from tests.bench.run import Row, significant
from tests.bench.stores import random_store
from tokenmill.model.train import train
from tokenmill.pipeline.base.progress import Silent
from tokenmill.pipeline.config import TrainConfig

STAGE = "train_step"
TOKEN_BYTES = 2
WARM_UP = 1
"""Steps of a round that are not measured, at least 1."""

Clock = Callable[[], float]
Steps = Callable[[], list[float]]
"""Makes the steps of a round; gives the seconds of each after the warm-up."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model, its batch, and the measured steps of a round."""

    layers: int
    heads: int
    width: int
    context: int
    windows: int
    vocabulary: int
    steps: int


SIZES = {
    STAGE: Size(layers=6, heads=6, width=384, context=256, windows=8, vocabulary=8_192, steps=2),
    f"{STAGE}_small": Size(layers=2, heads=4, width=96, context=128, windows=16, vocabulary=2_048, steps=20),
}


@dataclass
class Updates(Silent):
    """Notes when each update of a training ended."""

    clock: Clock
    ended: list[float] = field(default_factory=list)

    def advance(self, amount: int) -> None:
        self.ended.append(self.clock())


def measure(folder: Path, *, rounds: int, clock: Clock) -> tuple[list[Row], list[str]]:
    """The rows of this bench, and the peers that are not installed."""
    rows = []
    for name, size in SIZES.items():
        root = folder / name
        random_store(root, vocabulary=size.vocabulary, shards=1, documents=4_000, length=500)
        torch.manual_seed(0)
        gpt2 = {"model": "gpt2", "optimizer": "adamw", "attention": "window", "schedule": "cosine"}
        runs: dict[str, Steps] = {"ours": _ours(root, size, clock, gpt2), "plain_loop": _loop(root, size, clock, Plain(size))}
        if installed("transformers"):
            runs["transformers"] = _loop(root, size, clock, _transformers(size))
        runs["modern"] = _ours(root, size, clock, {"model": "modern"})
        seconds: dict[str, list[float]] = {kind: [] for kind in runs}
        for _ in range(rounds):
            for kind, run in runs.items():
                seconds[kind] += run()
        rates = {
            kind: TOKEN_BYTES / 1e6 * size.windows * size.context / statistics.median(each) for kind, each in seconds.items()
        }
        rows += [
            Row(
                stage=name,
                ours_mb_s=significant(rates["ours"]),
                peer=peer,
                peer_mb_s=significant(rates[peer]),
                ratio=significant(rates["ours"] / rates[peer]),
            )
            for peer in ("plain_loop", "transformers")
            if peer in rates
        ]
        rows.append(Row(stage=f"{name}_modern", ours_mb_s=significant(rates["modern"])))
    return rows, [] if installed("transformers") else ["transformers"]


def _ours(root: Path, size: Size, clock: Clock, parts: Mapping[str, object]) -> Steps:
    steps = WARM_UP + size.steps
    config = TrainConfig.model_validate(
        {
            **parts,
            "layers": size.layers,
            "heads": size.heads,
            "width": size.width,
            "context_tokens": size.context,
            "batch_windows": size.windows,
            "steps": steps,
            "warmup_steps": 0,
            "evaluate_every": steps,
            "checkpoint_every": steps,
            "device": "cpu",
        }
    )

    def run() -> list[float]:
        updates = Updates(clock)
        train(root, config, updates, resume=False)
        return np.diff(updates.ended)[WARM_UP - 1 :].tolist()

    return run


def _loop(root: Path, size: Size, clock: Clock, model: nn.Module) -> Steps:
    """A loop as in nanoGPT's train.py, over a model of ids to logits."""
    path = next((root / "tokens/train").glob("*.bin"))
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), fused=True)

    def batch() -> tuple[Tensor, Tensor]:
        data = np.memmap(path, dtype=np.uint16, mode="r")
        starts = torch.randint(len(data) - size.context, (size.windows,)).tolist()
        rows = np.stack([data[start : start + size.context + 1] for start in starts]).astype(np.int64)
        return torch.from_numpy(rows[:, :-1]), torch.from_numpy(rows[:, 1:])

    def step() -> None:
        ids, targets = batch()
        loss = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def run() -> list[float]:
        ended = []
        for _ in range(WARM_UP + size.steps):
            step()
            ended.append(clock())
        return np.diff(ended)[WARM_UP - 1 :].tolist()

    return run


class Plain(nn.Module):
    """GPT-2 as one writes it in an hour: one matrix for queries, keys and values, no switches."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        self.position = nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(PlainBlock(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        for parameter in self.parameters():
            if parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) + self.position(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.embedding.weight)


class PlainBlock(nn.Module):
    """Attention and MLP."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.norm_1, self.norm_2 = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.qkv, self.out = nn.Linear(size.width, 3 * size.width), nn.Linear(size.width, size.width)
        self.up, self.down = nn.Linear(size.width, 4 * size.width), nn.Linear(4 * size.width, size.width)

    def forward(self, x: Tensor) -> Tensor:
        rows, tokens, width = x.shape
        query, key, value = (
            part.view(rows, tokens, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm_1(x)).split(width, dim=2)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, tokens, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class _Logits(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids: Tensor) -> Tensor:
        return self.inner(ids, use_cache=False).logits


def _transformers(size: Size) -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=size.vocabulary,
        n_positions=size.context,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    return _Logits(GPT2LMHeadModel(config).train())
