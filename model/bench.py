"""A bench of training on this machine: where the time of an update goes, and what binds it.

Purpose: says tokens per second, the part of the device's peak that they use, and the phases of an update: on ids at random, and
with a corpus also on its tokens, which shows what reading costs. It needs no corpus and no network.
Guarantee: it times the trainer's own code: model, loss, optimizers, loader. Phases are told apart by hooks, which mark moments
(on a GPU on its own clock, without waiting). `covered` is their sum beside the wall clock.
Cost: the updates, and some tenths of a second for a plain matrix product. Hooks cost about 2 us each, 8 for a layer.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tokenmill.model import data, memory, optim
from tokenmill.model.data import Windows
from tokenmill.model.gpt import GPT
from tokenmill.model.gradients import backward
from tokenmill.model.loss import next_token_loss
from tokenmill.model.parallel.divided import Divided
from tokenmill.model.parts import Block
from tokenmill.model.phases import Phases, peak_teraflops
from tokenmill.model.setup import device_of, precision_of, require_compiler
from tokenmill.model.shape import Shape, shape_of
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import TokenStore
from tokenmill.pipeline.tokens.samples import samples_of

WARM_UP = 2
"""Updates that are not measured: memory is found, layers are compiled."""
SQUARE, GPU_SQUARE = 1_024, 8_192
"""Rows and columns of the plain matrix product: enough to use all of a device."""
TRIALS = 5
TOGETHER = 20
"""Products of a trial on a GPU."""
PARTS = {
    "head": "the head's matrix product and the loss",
    "attention": "attention and its projections",
    "mlp": "the MLPs' matrix products",
    "layers": "the layers",
    "optimizer": "the optimizer",
    "data": "reading the data",
    "rest": "norms, sums and embeddings",
}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Updates on one kind of data."""

    tokens_per_second: float
    seconds: float
    """Of an update, by the wall clock."""
    phases: dict[str, float]
    """Seconds of an update in each phase: data, forward, backward, optimizer."""
    parts: dict[str, float]
    """The same time by what it is spent on (`PARTS`), forward and backward together."""

    @property
    def covered(self) -> float:
        """The phases' part of the wall clock."""
        return sum(self.phases.values()) / self.seconds


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What `bench` measured."""

    device: str
    precision: str
    shape: Shape
    config: TrainConfig
    updates: int
    flops_per_token: int
    """Of a training step (`Shape.flops_per_token`)."""
    head_flops: float
    """The head's part of them."""
    peak_teraflops: float | None
    """What the device's maker says, or the settings."""
    product_teraflops: float
    """What a plain matrix product reaches here, in the precision of the run."""
    synthetic: Timing
    """On ids at random."""
    real: Timing | None
    """On the tokens of the corpus."""

    @property
    def timing(self) -> Timing:
        """That of the corpus, if there is one."""
        return self.real or self.synthetic

    @property
    def teraflops(self) -> float:
        """What the model needs, in 10^12 operations per second."""
        return self.timing.tokens_per_second * self.flops_per_token / 1e12

    @property
    def mfu(self) -> float | None:
        """The part of the peak that is used."""
        return None if self.peak_teraflops is None else self.teraflops / self.peak_teraflops

    @property
    def verdict(self) -> str:
        """What binds an update, in one sentence."""
        parts = self.timing.parts
        bound = max((name for name in parts if name != "rest"), key=lambda name: parts[name])
        share = f"{parts[bound] / sum(parts.values()):.0%}".replace("%", " %")
        shape, config = self.shape, self.config
        cause = {
            "head": f"a vocabulary of {shape.vocabulary:,} costs {share}",
            "attention": f"{shape.heads} heads over a context of {shape.context_tokens:,} tokens cost {share}",
            "mlp": f"{shape.inner:,} numbers inside, {shape.layers} times, cost {share}",
            "layers": f"{shape.layers} layers of width {shape.width:,} cost {share}",
            "optimizer": f"{config.optimizer} on {shape.parameters:,} parameters costs {share}; larger batches lower it",
            "data": f"waiting for windows costs {share}; the disk or the processor is too slow for this device",
        }
        return f"bound by {PARTS[bound]}; {cause[bound]}"


def bench(config: TrainConfig, store: TokenStore | None, progress: Progress, *, updates: int, vocabulary: int) -> Bench:
    """Measure `updates` updates of a new model on ids at random; then on the tokens of `store`, if there is one.

    `vocabulary`: of the model without a store. Raises ConfigError, InputError, OutOfMemory, CorruptFile.
    """
    device = device_of(config.device)
    precision = precision_of(config.precision, device)
    require_compiler(config, device)
    shape = shape_of(config, vocabulary if store is None else store.vocabulary)
    memory.require(shape, config, device=device, precision=precision, progress=progress)
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with memory.watched(shape, config), forked, contextlib.ExitStack() as opened:
        product = product_teraflops(device, precision)
        progress.begin("bench", updates * (1 if store is None else 2), "updates")
        run = _TimedRun(shape, config, device=device, precision=precision, progress=progress)
        real = None
        if store is None:
            windows = data.moved(_cut(config), device)
        else:
            read = data.reader(samples_of(store, config), config.attention)
            batches = opened.enter_context(data.loader(read, config, first=0, device=device))
            windows = next(batches)
            real = run.timed(batches, updates)
        at_random = torch.randint(shape.vocabulary, tuple(windows.ids.shape), device=device)
        synthetic = run.timed(itertools.repeat(dataclasses.replace(windows, ids=at_random)), updates)
    progress.end(f"{(real or synthetic).tokens_per_second:,.0f} tokens/s")
    return Bench(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device}, {torch.get_num_threads()} threads",
        precision=str(precision).removeprefix("torch."),
        shape=shape,
        config=config,
        updates=updates,
        flops_per_token=shape.flops_per_token,
        head_flops=6 * shape.vocabulary * shape.width / shape.flops_per_token,
        peak_teraflops=config.peak_teraflops or peak_teraflops(device, precision),
        product_teraflops=product,
        synthetic=synthetic,
        real=real,
    )


def product_teraflops(device: torch.device, precision: torch.dtype) -> float:
    """10^12 operations per second of a product of two square matrices: the best of some."""
    size, times = (SQUARE, 1) if device.type == "cpu" else (GPU_SQUARE, TOGETHER)
    left, right = (torch.randn(size, size, device=device).to(precision) for _ in range(2))
    best = math.inf
    for _ in range(1 + TRIALS):
        _wait(device)
        begun = time.perf_counter()
        for _ in range(times):
            left @ right
        _wait(device)
        best = min(best, (time.perf_counter() - begun) / times)
    return 2 * size**3 / best / 1e12


class _TimedRun:
    """A model that is trained, with hooks that mark the moments at which its parts begin."""

    def __init__(
        self, shape: Shape, config: TrainConfig, *, device: torch.device, precision: torch.dtype, progress: Progress
    ) -> None:
        self.config, self.device, self.precision, self.progress = config, device, precision, progress
        self.model = GPT(shape, dropout=config.dropout, seed=config.seed, recompute=config.recompute).to(device)
        self.divided = Divided(model=self.model)
        self.optimizers = optim.optimizers(self.model, config)
        self.scale = optim.Scale.first(device) if precision == torch.float16 else None
        self.phases = Phases(device)
        self.phase = ""
        # Hooks inside of compiled layers would cut them in pieces, and layers that are computed again pass them twice.
        self.within = not (config.compile or config.recompute)
        self.between = "rest" if self.within else "layers"
        if config.compile:
            for block in self.model.blocks:
                block.compile()
        self.model.norm.register_forward_hook(self._at_head)
        for block in filter(lambda block: self.within, self.model.blocks):
            assert isinstance(block, Block)
            self._watch(block.attention, "attention")
            self._watch(block.mlp, "mlp")

    def timed(self, batches: Iterator[Windows], updates: int) -> Timing:
        """The time of so many updates."""
        halted = torch.zeros((), device=self.device)
        begun = 0.0
        for number in range(WARM_UP + updates):
            if number == WARM_UP:
                _wait(self.device)
                self.phases.taken(1)
                begun = time.perf_counter()
            self.phases.mark("data data")
            windows = list(itertools.islice(batches, self.config.accumulate))
            total = backward(
                self.divided,
                windows,
                self.config,
                loss_of=next_token_loss,
                precision=self.precision,
                scale=self.scale,
                mark=self._enter,
            )
            self.phases.mark("optimizer optimizer")
            # The full rate would make the first updates diverge; what is timed does not depend on it.
            optim.update(self.optimizers, total, rate=0.01, clip_norm=self.config.clip_norm, halted=halted, scale=self.scale)
            self.phases.mark("")
            if number >= WARM_UP:
                self.progress.advance(1)
        _wait(self.device)
        seconds = (time.perf_counter() - begun) / updates
        by_phase, by_part = dict[str, float](), dict[str, float]()
        for name, taken in self.phases.taken(updates).items():
            phase, part = name.split()
            by_phase[phase] = by_phase.get(phase, 0.0) + taken
            by_part[part] = by_part.get(part, 0.0) + taken
        tokens = self.config.batch_windows * self.config.accumulate * self.config.context_tokens
        return Timing(tokens_per_second=tokens / seconds, seconds=seconds, phases=by_phase, parts=by_part)

    def _enter(self, phase: str) -> None:
        """The backward pass begins with the head, where the forward pass ended."""
        self.phase = phase
        self._part("head" if phase == "backward" else self.between)

    def _part(self, part: str) -> None:
        self.phases.mark(f"{self.phase} {part}")

    def _at_head(self, module: nn.Module, given: object, hidden: Tensor) -> None:
        self._part("head")
        hidden.register_hook(lambda gradient: self._part(self.between))  # type: ignore[no-untyped-call]

    def _watch(self, module: nn.Module, part: str) -> None:
        for before in (module.register_forward_pre_hook, module.register_full_backward_pre_hook):
            before(lambda *_: self._part(part))
        for after in (module.register_forward_hook, module.register_full_backward_hook):
            after(lambda *_: self._part(self.between))


def _cut(config: TrainConfig) -> Windows:
    """Windows of two documents each, if attention stays within documents."""
    rows, tokens = config.batch_windows, config.context_tokens
    ids, starts, edges = torch.zeros((rows, tokens + 1), dtype=torch.int64), None, None
    if config.attention == "document":
        starts = torch.zeros((rows, tokens), dtype=torch.int64)
        starts[:, tokens // 2 :] = tokens // 2
        begins = torch.arange(rows)[:, None] * tokens + torch.tensor([0, tokens // 2])
        edges = torch.cat([begins.flatten(), torch.tensor([rows * tokens])]).int()
    return Windows(ids=ids, kept=None, starts=starts, targets=rows * tokens, edges=edges)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
