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
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenmill.model import checkpoint, data, evaluate, optim, stops
from tokenmill.model.checkpoint import Checkpoint
from tokenmill.model.encoders import Model
from tokenmill.model.gpt import GPT
from tokenmill.model.gradients import backward
from tokenmill.model.groups import TokenGroups
from tokenmill.model.log import TrainingLog
from tokenmill.model.objectives.objective import Objective
from tokenmill.model.optim import Optimizers, Scale
from tokenmill.model.page import TrainingPage
from tokenmill.model.parallel.divided import Divided
from tokenmill.model.phases import Phases, peak_teraflops
from tokenmill.model.state import State
from tokenmill.pipeline.base.errors import Diverged, Interrupted
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.tokens import Split

LOG_EVERY = 10
"""Steps between writes of the log."""
Voice = Callable[[GPT], str]
Write = Callable[[Mapping[str, Any]], None]
HOPELESS = 1.5
"""How many times the loss of guessing a run may lose, on average over the steps of one write of the log."""
LEAST_SCALE = 1e-4
"""Of float16: gradients that overflow even so are those of a run that diverged."""


@dataclass(kw_only=True)
class TrainingLoop:
    """One call of `train`: the model as it changes, and the measurements not yet written to the log."""

    model: Model
    optimizers: Optimizers
    scale: Scale | None
    """Of the loss, in float16."""
    precision: torch.dtype
    objective: Objective
    validation: Split
    config: TrainConfig
    device: torch.device
    folder: Path
    page: TrainingPage
    progress: Progress
    divided: Divided
    """The model as it lies in several processes, or in this one alone. The first one writes log, checkpoints and page."""
    voice: Voice | None = None
    """Says what the model says at each evaluation."""
    languages: TokenGroups | None = None
    """Those of the validation split."""
    phases: Phases = field(init=False)
    pending: list[tuple[dict[str, Any], Tensor]] = field(default_factory=list)
    """For each update not yet logged: what the host knows of it, and on the device its loss, norm and scale, float [3]."""
    written_at: float = 0.0
    """When the log was last written, on the clock of `time.monotonic`."""
    tokens_written: int = 0
    """Tokens read by the updates that were logged."""

    def __post_init__(self) -> None:
        self.phases = Phases(self.device)

    def go(self, state: State) -> Checkpoint:
        """Make all updates that are left after `state`. Returns the last checkpoint. Raises Diverged, Interrupted."""
        config, layout = self.config, self.divided.layout
        left = config.samples_before(config.steps) - config.samples_before(state.step)
        self.progress.begin("train", left * config.context_tokens, "tokens")
        halted = torch.zeros((), device=self.device)
        loss, saved = math.nan, state
        self.tokens_written = state.samples * config.context_tokens
        with (
            stops.asked(self.progress) as asked,
            self._log(state) as log,
            data.loader(
                self.objective.read,
                config,
                first=state.samples,
                step=state.step,
                device=self.device,
                rank=layout.data_rank,
                ranks=layout.data_ranks,
            ) as batches,
        ):

            def stop() -> int:
                """The number of a signal that any process has got, the same in all; 0 for none."""
                return layout.largest(asked[0] if asked else 0)

            while True:
                complete = state.step == config.steps
                if evaluation_is_due(state, config):
                    try:
                        state = self._evaluated(state, log, loss, stop)
                    except Interrupted:
                        complete = False
                number = stop()
                every = state.step > 0 and state.step % config.checkpoint_every == 0
                if complete or (state is not saved and state.step > 0 and (every or number)):
                    if self.pending:
                        loss = self._write_down(log)
                    whole = self.divided.gathered
                    made = checkpoint.publish(self.folder, state, self.model, self.optimizers, self.scale, gathered=whole)
                    if layout.first:
                        self.page.write(state)
                    saved = state
                    number = stop()
                if complete:
                    self.progress.end(f"{state.step} steps" + ("" if math.isnan(loss) else f", loss {loss:.3f}"))
                    return made
                if number and (state is saved or state.step == 0):
                    told = f"after step {state.step}" if state.step else "before the first step"
                    raise Interrupted(f"stopped {told}; run the same command again to continue", number=number)
                if not self.pending:
                    self.written_at = time.monotonic()
                self._update(state, batches, halted)
                read = config.batch_windows * config.batches(state.step)
                state = dataclasses.replace(state, step=state.step + 1, samples=state.samples + read)
                self.progress.advance(read * config.context_tokens)
                if state.step % LOG_EVERY == 0 or evaluation_is_due(state, config):
                    loss = self._write_down(log)

    def _update(self, state: State, batches: Iterator[data.TensorBatch], halted: Tensor) -> None:
        """Update the weights once: all its batches forward and backward, then one step of the optimizers."""
        config = self.config
        torch.manual_seed(_draw(config.seed, state.step))
        self.phases.mark("data")
        windows = list(itertools.islice(batches, self.divided.layout.batches(config.batches(state.step))))
        total = backward(
            self.divided,
            windows,
            config,
            loss_of=self.objective.loss,
            precision=self.precision,
            scale=self.scale,
            mark=self.phases.mark,
        )
        self.phases.mark("optimizer")
        rate = optim.learning_rate(state.step, config)
        scale = torch.ones_like(total) if self.scale is None else self.scale.value.clone()
        norm = optim.update(
            self.optimizers,
            total,
            rate=rate,
            clip_norm=config.clip_norm,
            halted=halted,
            scale=self.scale,
            clip=self.divided.clip,
        )
        self.phases.mark("")
        line = {
            "step": state.step + 1,
            "learning_rate": rate * config.learning_rate,
            "tokens": (state.samples + config.batch_windows * config.batches(state.step)) * config.context_tokens,
        }
        self.pending.append((line, torch.stack([total, norm, scale])))

    @contextlib.contextmanager
    def _log(self, state: State) -> Iterator[Write]:
        """Appends a line to the log; in processes other than the first, does nothing."""
        if not self.divided.layout.first:
            yield lambda line: None
            return
        with contextlib.closing(TrainingLog(self.folder.parent, step=state.step, events=self.config.tensorboard)) as log:
            yield log.append

    def _write_down(self, log: Write) -> float:
        """Write the pending losses to the log and return the last one. Raises Diverged where no update can be made of them."""
        values = torch.stack([value for _, value in self.pending]).tolist()
        shared = self._speed(updates=len(values), tokens=self.pending[-1][0]["tokens"])
        for (known, _), (loss, norm, scale) in zip(self.pending, values, strict=True):
            skipped = self.scale is not None and math.isfinite(loss) and not math.isfinite(norm) and scale > LEAST_SCALE
            if not (skipped or (math.isfinite(loss) and math.isfinite(norm))):
                raise Diverged(
                    f"train: update {known['step']} has {loss=} and gradient {norm=}, so neither it nor a later one was made; "
                    f"lower train.learning_rate={self.config.learning_rate} or train.clip_norm={self.config.clip_norm}"
                )
            line = {**known, "loss": loss, **shared}
            if self.scale is not None:
                line["loss_scale"] = scale
            log({**line, "skipped": True} if skipped else {**line, "gradient_norm": norm})
        self.pending.clear()
        mean, guessing = sum(loss for loss, _, _ in values) / len(values), math.log(self.model.shape.vocabulary)
        if mean > HOPELESS * guessing:
            raise Diverged(
                f"train: the loss of the last {len(values)} updates is {mean:.2f}, far above the {guessing:.2f} of guessing; "
                f"lower train.learning_rate={self.config.learning_rate} or "
                f"train.muon_learning_rate={self.config.muon_learning_rate}"
            )
        return float(values[-1][0])

    def _speed(self, *, updates: int, tokens: int) -> dict[str, Any]:
        """The speed of the updates that were made since the log was last written."""
        now = time.monotonic()
        speed = (tokens - self.tokens_written) / max(1e-9, now - self.written_at)
        self.written_at, self.tokens_written = now, tokens
        found: dict[str, Any] = {"tokens_per_second": round(speed), "seconds": self.phases.taken(updates)}
        peak = self.config.peak_teraflops or peak_teraflops(self.device, self.precision)
        if peak is not None:
            # Model FLOPs utilisation (Chowdhery et al. 2022, "PaLM", section 4.1).
            found["mfu"] = round(speed * self.model.shape.flops_per_token / (peak * 1e12 * self.divided.layout.ranks), 4)
        return found

    def _evaluated(self, state: State, log: Write, loss: float, stop: Callable[[], int]) -> State:
        """Return `state` with a new evaluation: on a fixed part of the validation split, or on all of it after the last update.

        Without a token to predict, return `state` unchanged. Raises Interrupted as soon as a signal asks to `stop`.
        """
        config = self.config
        windows, objective = self.objective.held_out, self.objective
        told = f"step {state.step} of {config.steps}" + ("" if math.isnan(loss) else f": training loss {loss:.3f}")
        if windows == 0:
            self.progress.say(f"{told}; no validation, nothing is held out")
            return state
        wanted = windows if state.step == config.steps else config.evaluate_windows
        numbers = evaluate.spread(windows, wanted)
        common: dict[str, Any] = {
            "step": state.step,
            "batch_windows": config.batch_windows,
            "device": self.device,
            "precision": self.precision,
            "chunk_tokens": config.loss_chunk_tokens,
            "asked": stop,
        }
        if objective.validation is not None:
            made = evaluate.evaluate_batches(
                self.model, objective.validation, objective.loss, numbers, right=objective.right, **common
            )
        else:
            assert isinstance(self.model, GPT)
            made = evaluate.evaluate(
                self.model,
                self.validation,
                numbers,
                attention=config.attention,
                languages=self.languages,
                divided=self.divided,
                **common,
            )
        if made.tokens == 0:
            self.progress.say(f"{told}; no validation, what it reads is forgotten")
            return state
        line = {"step": made.step, "validation_loss": made.loss, "bits_per_byte": made.bits_per_byte, "sources": made.sources}
        line |= {"languages": made.languages} if made.languages else {}
        log(line if made.accuracy is None else {**line, "accuracy": made.accuracy})
        if self.voice is not None and isinstance(self.model, GPT):
            log({"step": made.step, "sample": self.voice(self.model)})
        bits = "" if made.bits_per_byte is None else f", {made.bits_per_byte:.3f} bits per byte"
        bits += "" if made.accuracy is None else f", accuracy {made.accuracy:.1%}"
        self.progress.say(f"{told}; validation loss {made.loss:.3f}{bits}")
        return dataclasses.replace(state, evaluations=(*state.evaluations, made))


def evaluation_is_due(state: State, config: TrainConfig) -> bool:
    """Whether the run evaluates after this step, and has not yet."""
    at = state.step == config.steps or state.step % config.evaluate_every == 0
    return at and all(one.step != state.step for one in state.evaluations)


def _draw(seed: int, step: int) -> int:
    """A 64-bit seed for the random numbers of one update, the same on every machine."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
