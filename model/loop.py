"""The training loop: update, log, evaluate, checkpoint.

Guarantee: an update's gradient is that of its mean loss over all targets that count, however they are divided into batches. An
update with a loss or gradient that is not finite never changes the weights. SIGINT, SIGTERM and SIGHUP end the run after the
update that is being made, with a checkpoint; a second one ends it at once. An evaluation that one of them ends is made again by
the run that goes on.
Cost: that of the model, plus one JSON line per step. The host waits for the device every `LOG_EVERY` steps, not at each step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmill.model import checkpoint, data, evaluate, optim
from tokenmill.model.checkpoint import Checkpoint, State
from tokenmill.model.gpt import GPT
from tokenmill.model.log import TrainingLog
from tokenmill.model.loss import next_token_loss
from tokenmill.model.optim import Optimizers, Scale
from tokenmill.model.page import TrainingPage
from tokenmill.pipeline.base.errors import Diverged, Interrupted, TokenmillError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import Split
from tokenmill.pipeline.tokens.samples import Samples

LOG_EVERY = 10
"""Steps between writes of the log."""
HOPELESS = 1.5
"""How many times the loss of guessing a run may lose, on average over the steps of one write of the log."""
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C; what `kill` and machines that shut down send; a terminal that was closed."""
TWICE_SECONDS = 0.2
"""Within it, a second signal is the same wish: `timeout`, for example, sends it to a process and to its group."""
LEAST_SCALE = 1e-4
"""Of float16: gradients that overflow even so are those of a run that diverged."""


@dataclass(kw_only=True)
class TrainingLoop:
    """One call of `train`: the model as it changes, and the measurements not yet written to the log."""

    model: GPT
    optimizers: Optimizers
    scale: Scale | None
    """Of the loss, in float16."""
    precision: torch.dtype
    samples: Samples
    validation: Split
    config: TrainConfig
    device: torch.device
    folder: Path
    page: TrainingPage
    progress: Progress
    pending: list[tuple[int, float, Tensor]] = field(default_factory=list)
    """For each update not yet logged: its number, its learning rate, and on the device its loss, norm and scale, float [3]."""
    written_at: float = 0.0
    """When the log was last written, on the clock of `time.monotonic`."""

    def go(self, state: State) -> Checkpoint:
        """Make all updates that are left after `state`. Returns the last checkpoint. Raises Diverged, Interrupted."""
        config = self.config
        tokens_per_step = config.batch_windows * config.accumulate * config.context_tokens
        self.progress.begin("train", (config.steps - state.step) * tokens_per_step, "tokens")
        halted = torch.zeros((), device=self.device)
        loss, saved = math.nan, state
        self.written_at = time.monotonic()
        with (
            _asked_to_stop(self.progress) as asked,
            contextlib.closing(TrainingLog(self.folder.parent, step=state.step, events=config.tensorboard)) as log,
            data.loader(self.samples, config, first=state.samples, device=self.device) as batches,
        ):
            while True:
                complete = state.step == config.steps
                if evaluation_is_due(state, config):
                    try:
                        state = self._evaluated(state, log, loss, asked)
                    except Interrupted:
                        complete = False
                every = state.step > 0 and state.step % config.checkpoint_every == 0
                if complete or (state is not saved and state.step > 0 and (every or asked)):
                    if self.pending:
                        loss = self._write_down(log)
                    made = checkpoint.publish(self.folder, state, self.model, self.optimizers, self.scale)
                    self.page.write(state)
                    saved = state
                if complete:
                    self.progress.end(f"{state.step} steps" + ("" if math.isnan(loss) else f", loss {loss:.3f}"))
                    return made
                if asked and (state is saved or state.step == 0):
                    told = f"after step {state.step}" if state.step else "before the first step"
                    raise Interrupted(f"stopped {told}; run the same command again to continue", number=asked[0])
                self._update(state, batches, halted)
                state = dataclasses.replace(
                    state, step=state.step + 1, samples=state.samples + config.batch_windows * config.accumulate
                )
                self.progress.advance(tokens_per_step)
                if state.step % LOG_EVERY == 0 or evaluation_is_due(state, config):
                    loss = self._write_down(log)

    def _update(self, state: State, batches: Iterator[data.Windows], halted: Tensor) -> None:
        """Update the weights once: `accumulate` batches forward and backward, then one step of the optimizers."""
        config = self.config
        torch.manual_seed(_draw(config.seed, state.step))
        total = torch.zeros((), device=self.device)
        windows = list(itertools.islice(batches, config.accumulate))
        targets = max(1, sum(one.targets for one in windows))
        for one in windows:
            with evaluate.autocast(self.device, self.precision):
                loss = next_token_loss(self.model, one, z_loss=config.z_loss, chunk_tokens=config.loss_chunk_tokens)
            mean = (loss.nats + loss.penalty) / targets
            (mean if self.scale is None else mean * self.scale.value).backward()  # type: ignore[no-untyped-call]
            total += loss.nats.detach() / targets
        rate = optim.learning_rate(state.step, config)
        scale = torch.ones_like(total) if self.scale is None else self.scale.value.clone()
        norm = optim.update(self.optimizers, total, rate=rate, clip_norm=config.clip_norm, halted=halted, scale=self.scale)
        self.pending.append((state.step + 1, rate * config.learning_rate, torch.stack([total, norm, scale])))

    def _write_down(self, log: TrainingLog) -> float:
        """Write the pending losses to the log and return the last one. Raises Diverged where no update can be made of them."""
        values = torch.stack([value for _, _, value in self.pending]).tolist()
        now = time.monotonic()
        per_step = self.config.batch_windows * self.config.accumulate * self.config.context_tokens
        speed = round(per_step * len(values) / max(1e-9, now - self.written_at))
        self.written_at = now
        for (step, rate, _), (loss, norm, scale) in zip(self.pending, values, strict=True):
            skipped = self.scale is not None and math.isfinite(loss) and not math.isfinite(norm) and scale > LEAST_SCALE
            if not (skipped or (math.isfinite(loss) and math.isfinite(norm))):
                raise Diverged(
                    f"train: update {step} has {loss=} and gradient {norm=}, so neither it nor a later one was made; lower "
                    f"train.learning_rate={self.config.learning_rate} or train.clip_norm={self.config.clip_norm}"
                )
            line = {"step": step, "loss": loss, "learning_rate": rate, "tokens": step * per_step, "tokens_per_second": speed}
            if self.scale is not None:
                line["loss_scale"] = scale
            log.append({**line, "skipped": True} if skipped else {**line, "gradient_norm": norm})
        self.pending.clear()
        mean, guessing = sum(loss for loss, _, _ in values) / len(values), math.log(self.model.shape.vocabulary)
        if mean > HOPELESS * guessing:
            raise Diverged(
                f"train: the loss of the last {len(values)} updates is {mean:.2f}, far above the {guessing:.2f} of guessing; "
                f"lower train.learning_rate={self.config.learning_rate} or "
                f"train.muon_learning_rate={self.config.muon_learning_rate}"
            )
        return float(values[-1][0])

    def _evaluated(self, state: State, log: TrainingLog, loss: float, asked: Sequence[int]) -> State:
        """Return `state` with a new evaluation: on a fixed part of the validation split, or on all of it after the last update.

        Without a token in the split, return `state` unchanged. Raises Interrupted as soon as a signal was `asked`.
        """
        config = self.config
        windows = self.validation.windows(config.context_tokens)
        told = f"step {state.step} of {config.steps}" + ("" if math.isnan(loss) else f": training loss {loss:.3f}")
        if windows == 0:
            self.progress.say(f"{told}; no validation, the split is empty")
            return state
        wanted = windows if state.step == config.steps else config.evaluate_windows
        made = evaluate.evaluate(
            self.model,
            self.validation,
            evaluate.spread(windows, wanted),
            step=state.step,
            attention=config.attention,
            batch_windows=config.batch_windows,
            device=self.device,
            precision=self.precision,
            asked=asked,
        )
        log.append(
            {"step": made.step, "validation_loss": made.loss, "bits_per_byte": made.bits_per_byte, "sources": made.sources}
        )
        bits = "" if made.bits_per_byte is None else f", {made.bits_per_byte:.3f} bits per byte"
        self.progress.say(f"{told}; validation loss {made.loss:.3f}{bits}")
        return dataclasses.replace(state, evaluations=(*state.evaluations, made))


def evaluation_is_due(state: State, config: TrainConfig) -> bool:
    """Whether the run evaluates after this step, and has not yet."""
    at = state.step == config.steps or state.step % config.evaluate_every == 0
    return at and all(one.step != state.step for one in state.evaluations)


@contextlib.contextmanager
def _asked_to_stop(progress: Progress) -> Iterator[list[int]]:
    """Collect the numbers of `STOPPING` that arrive in the block. A second one does what it did before the block."""
    asked: list[int] = []
    before: dict[int, Any] = {}
    first_at = 0.0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal first_at
        if not asked:
            first_at = time.monotonic()
            asked.append(number)
            # It may have come while another line is written, or because the terminal is gone.
            with contextlib.suppress(RuntimeError, OSError, TokenmillError):
                progress.say("stopping after this update; once more to stop at once")
        elif time.monotonic() - first_at > TWICE_SECONDS:
            if callable(before[number]):
                before[number](number, frame)
            else:
                signal.signal(number, before[number])
                signal.raise_signal(number)

    # Only the main thread may set handlers; elsewhere whoever runs the loop ends it.
    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    try:
        yield asked
    finally:
        for known, handler in before.items():
            signal.signal(known, handler)


def _draw(seed: int, step: int) -> int:
    """A 64-bit seed for the random numbers of one update, the same on every machine."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
