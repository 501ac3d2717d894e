"""A learning-rate range test: which learning rates are worth a run (Smith 2017, "Cyclical Learning Rates", section 3.3).

Purpose: a new model makes some updates with rates that grow from a thousandth of the peaks of the settings to ten times them,
AdamW's and Muon's together; where the loss falls fastest and where it rises again tells the peak.
Guarantee: nothing is written. The same store, settings and seed give the same losses on the CPU.
Cost: that of its updates.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tokenmill.model import data, memory, optim
from tokenmill.model.gradients import backward
from tokenmill.model.objectives.objective import objective_of
from tokenmill.model.setup import device_of, precision_of, prepare
from tokenmill.pipeline.base.errors import Diverged
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.corpus import TOKENS
from tokenmill.pipeline.tokens import TokenStore

LOWEST, HIGHEST = 1e-3, 10.0
"""Parts of the peaks."""
SMOOTHING = 0.8
"""What the mean of the losses keeps of itself at each update."""
LOST = 1.5
"""How many times its lowest value the mean may reach before the test ends."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One update of a range test."""

    part: float
    """Its learning rates, as a part of the peaks of the settings."""
    loss: float
    """The mean of the losses until then, recent ones weighing more: of this update's batch and those before it."""


def range_test(root: Path, config: TrainConfig, progress: Progress, *, updates: int) -> list[Tried]:
    """Make at most `updates` updates of a new model on the corpus in `root`. Raises as `train` does, and Diverged at once."""
    device = device_of(config.device)
    precision = precision_of(config.precision, device)
    store = TokenStore.open(root / TOKENS)
    # The rates are for batches that have grown.
    config = config.model_copy(update={"ramp_steps": 0})
    objective = objective_of(root, store, config, progress)
    config, shape = objective.config, objective.shape
    memory.require(shape, config, device=device, precision=precision, progress=progress)
    tried: list[Tried] = []
    halted = torch.zeros((), device=device)
    progress.begin("range test", updates, "updates")
    with (
        memory.watched(shape, config),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        data.loader(objective.read, config, first=0, device=device) as batches,
    ):
        torch.manual_seed(config.seed)
        made = prepare(store, shape, config, device=device, precision=precision, base=objective.base)
        mean, least = 0.0, math.inf
        for number, part in enumerate(np.geomspace(LOWEST, HIGHEST, updates).tolist()):
            windows = list(itertools.islice(batches, config.accumulate))
            loss = backward(made.divided, windows, config, loss_of=objective.loss, precision=precision, scale=made.scale)
            optim.update(made.optimizers, loss, rate=part, clip_norm=config.clip_norm, halted=halted, scale=made.scale)
            mean = SMOOTHING * mean + (1 - SMOOTHING) * float(loss)
            smooth = mean / (1 - SMOOTHING ** (number + 1))
            least = min(least, smooth)
            if halted or smooth > LOST * least:
                break
            tried.append(Tried(part=part, loss=smooth))
            progress.advance(1)
    progress.end(f"{len(tried)} updates")
    if not tried:
        raise Diverged("range test: the first loss or gradient is not finite; nothing can be learned with these settings")
    return tried


def steepest(tried: list[Tried]) -> Tried:
    """The update around which the loss falls fastest for each step of the rate: what a peak should not be below."""
    losses = np.array([one.loss for one in tried])
    return tried[int(np.argmin(np.gradient(losses)))] if len(tried) > 1 else tried[0]


def lowest(tried: list[Tried]) -> Tried:
    """The update with the lowest loss: what a peak should stay below."""
    return min(tried, key=lambda one: one.loss)
