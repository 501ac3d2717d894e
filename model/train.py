"""The training loop.

Purpose: `train` brings the model of a corpus to `config.steps` updates: `root/tokens` in; checkpoints, a log and, when it
is done, a manifest in `root/model` out.
Guarantee: on the CPU a run that was killed at any moment and started again ends with the bytes of an undisturbed one
(same machine, same number of threads): samples and dropout are functions of (seed, step), and the rest is in the
checkpoint. Weights never see a value that is not finite.
Cost: the model's; beside it one JSON line per step, one evaluation in `evaluate_every` and one checkpoint in
`checkpoint_every` steps. The device is waited for every `LOG_EVERY` steps, not at each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tokenmill.model import checkpoint, data, evaluate, optim
from tokenmill.model.checkpoint import Checkpoint, State
from tokenmill.model.evaluate import Evaluation
from tokenmill.model.gpt import GPT, Shape, next_token_loss
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, InputError, TokenmillError
from tokenmill.pipeline.base.manifest import MODEL, PACK, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.corpus import TOKENS
from tokenmill.pipeline.tokens import Split, TokenStore, problems
from tokenmill.pipeline.tokens.samples import Samples, samples_of

VERSION = 1
LOG_EVERY = 10


class Diverged(TokenmillError):
    """Loss or gradient stopped being finite."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A model after `step` updates on `tokens` tokens; `steps_now` of the updates were made by this call."""

    step: int
    steps_now: int
    tokens: int
    parameters: int
    evaluations: tuple[Evaluation, ...]


def train(root: Path, config: TrainConfig, progress: Progress, *, resume: bool = True) -> TrainResult:
    """Train on the store of the corpus in `root`, from its last checkpoint or (`resume=False`) from the start.

    To be called under `files.lock(root)`. Raises NotBuilt or CorruptFile for a store or checkpoints that are missing or
    broken, InputError for a store that is too small, StaleInput when the checkpoint is of another store, shape or seed,
    ConfigError for a device that is not there, Diverged when loss or gradient is not finite.
    """
    device = _device(config.device)
    store = TokenStore.open(root / TOKENS)
    samples = samples_of(store, config)
    if samples.windows < config.batch_windows * config.accumulate:
        raise InputError(
            f"{store.folder}: {samples.split.tokens} tokens for training are {samples.windows} windows of "
            f"{config.context_tokens=}, but one step reads {config.batch_windows * config.accumulate} (train.batch_windows * "
            "train.accumulate); pack more text, or lower these settings"
        )
    if samples.mixture is not None:
        progress.say(f"sources: {samples.mixture}")
    start = _beginning(store, config, samples)
    folder = root / MODEL / checkpoint.FOLDER
    found = checkpoint.newest(folder, progress) if resume else None
    if found is not None:
        checkpoint.require_same(found, start)
        _say_changes(found.state, start, progress)
        if found.state.step >= config.steps:
            checkpoint.prune(folder)
            return _finish(root, found, steps_now=0)
        start = dataclasses.replace(found.state, config=start.config)
    for problem in problems(store.folder):
        raise CorruptFile(f"{problem}; run the build again to make it anew")
    manifest.withdraw(root, [MODEL])
    checkpoint.remove_after(folder, start.step)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model = GPT(start.shape, dropout=config.dropout, seed=config.seed)
        optimizer = optim.adamw(model.to(device), weight_decay=config.weight_decay)
        if found is not None:
            checkpoint.restore(found, model, optimizer)
        run = _Run(
            model=model,
            optimizer=optimizer,
            samples=samples,
            validation=store.split("val"),
            config=config,
            device=device,
            folder=folder,
            progress=progress,
        )
        last = run.go(start)
    return _finish(root, last, steps_now=last.state.step - start.step)


def _beginning(store: TokenStore, config: TrainConfig, samples: Samples) -> State:
    """The state before the first update."""
    shape = Shape(
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        context_tokens=config.context_tokens,
        vocabulary=store.vocabulary,
    )
    return State(
        step=0,
        samples=0,
        store=store.hash,
        tokenizer=store.tokenizer,
        seed=config.seed,
        order=samples.order,
        end_of_text=store.end_of_text,
        shape=shape,
        config=config.model_dump(mode="json", exclude={"device"}),
    )


@dataclass(kw_only=True)
class _Run:
    """The state of one call: the model as it changes, and what was measured but not yet written down."""

    model: GPT
    optimizer: torch.optim.AdamW
    samples: Samples
    validation: Split
    config: TrainConfig
    device: torch.device
    folder: Path
    progress: Progress
    pending: list[tuple[int, float, Tensor]] = field(default_factory=list)
    """Update number, learning rate, and loss and norm still on the device. [2]"""

    def go(self, state: State) -> Checkpoint:
        """All updates that `state` lacks. Returns the last checkpoint."""
        config = self.config
        tokens_per_step = config.batch_windows * config.accumulate * config.context_tokens
        self.progress.begin("train", (config.steps - state.step) * tokens_per_step, "tokens")
        halted = torch.zeros((), device=self.device)
        loss = math.nan
        with (
            contextlib.closing(files.Log(self.folder.parent / "log.jsonl")) as log,
            data.loader(self.samples, config, first=state.samples, device=self.device) as batches,
        ):
            if state.step == 0:
                state = self._evaluated(state, log, loss)
            while True:
                self._update(state, batches, halted)
                step = state.step + 1
                state = dataclasses.replace(state, step=step, samples=state.samples + config.batch_windows * config.accumulate)
                self.progress.advance(tokens_per_step)
                last = step == config.steps
                evaluating = last or step % config.evaluate_every == 0
                saving = last or step % config.checkpoint_every == 0
                if evaluating or saving or step % LOG_EVERY == 0:
                    loss = self._write_down(log)
                if evaluating:
                    state = self._evaluated(state, log, loss)
                if saving:
                    made = checkpoint.publish(self.folder, state, self.model, self.optimizer)
                if last:
                    self.progress.end(f"{step} steps, loss {loss:.3f}")
                    return made

    def _update(self, state: State, batches: Iterator[data.Windows], halted: Tensor) -> None:
        """One update of the weights: `accumulate` batches forward and backward, then one step of the optimizer."""
        config = self.config
        torch.manual_seed(_draw(config.seed, state.step))
        total = torch.zeros((), device=self.device)
        for windows in itertools.islice(batches, config.accumulate):
            with evaluate.autocast(self.device):
                loss = next_token_loss(self.model, windows.ids, kept=windows.kept, starts=windows.starts) / config.accumulate
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        rate = optim.learning_rate(
            state.step,
            steps=config.steps,
            warmup_steps=config.warmup_steps,
            peak=config.learning_rate,
            floor=config.min_learning_rate,
        )
        norm = optim.update(self.optimizer, total, rate=rate, clip_norm=config.clip_norm, halted=halted)
        self.pending.append((state.step + 1, rate, torch.stack([total, norm])))

    def _write_down(self, log: files.Log) -> float:
        """Bring the pending losses to the log. Returns the last one; raises Diverged at the first that is not finite."""
        values = torch.stack([value for _, _, value in self.pending]).tolist()
        for (step, rate, _), (loss, norm) in zip(self.pending, values, strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise Diverged(
                    f"train: update {step} has {loss=} and gradient {norm=}, so neither it nor a later one was made; lower "
                    f"train.learning_rate={self.config.learning_rate} or train.clip_norm={self.config.clip_norm}"
                )
            log.append({"step": step, "loss": loss, "gradient_norm": norm, "learning_rate": rate})
        self.pending.clear()
        return float(values[-1][0])

    def _evaluated(self, state: State, log: files.Log, loss: float) -> State:
        """`state` with an evaluation: of a fixed part of the validation split, and of all of it after the last update."""
        config = self.config
        windows = self.validation.windows(config.context_tokens)
        told = f"step {state.step} of {config.steps}" + ("" if math.isnan(loss) else f": training loss {loss:.3f}")
        if windows == 0:
            self.progress.say(f"{told}; no validation, the split is shorter than {config.context_tokens} tokens")
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
        )
        log.append({"step": made.step, "validation_loss": made.loss, "bits_per_byte": made.bits_per_byte})
        self.progress.say(f"{told}; validation loss {made.loss:.3f}")
        return dataclasses.replace(state, evaluations=(*state.evaluations, made))


def _finish(root: Path, last: Checkpoint, *, steps_now: int) -> TrainResult:
    """Name the last checkpoint in the model's manifest, where it is not named yet."""
    state = last.state
    tokens = state.samples * state.shape.context_tokens
    facts = {
        "step": state.step,
        "tokens": tokens,
        "parameters": state.shape.parameters,
        "evaluations": [dataclasses.asdict(evaluation) for evaluation in state.evaluations],
    }
    made = Manifest(
        stage=MODEL,
        version=VERSION,
        config=state.config,
        inputs={PACK: state.store},
        files={f"{MODEL}/{checkpoint.FOLDER}/{name}": entry for name, entry in sorted(last.files.items())},
        facts=facts,
    )
    published = manifest.find(root, MODEL)
    if published is None or published.hash != made.hash:
        manifest.commit(root, made)
    return TrainResult(
        step=state.step,
        steps_now=steps_now,
        tokens=tokens,
        parameters=state.shape.parameters,
        evaluations=state.evaluations,
    )


def _say_changes(was: State, now: State, progress: Progress) -> None:
    """Settings that may change within a run; what they change is no longer the run that was begun."""
    changed = [
        f"{name} was {was.config.get(name)!r} and is {value!r}"
        for name, value in now.config.items()
        if was.config.get(name) != value
    ]
    if changed:
        progress.say(f"settings differ from those that the first {was.step} steps were made with: {'; '.join(changed)}")


def _device(name: str) -> torch.device:
    """Raises ConfigError when the device is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"train.device={name}: this machine has no such device; set train.device to auto or cpu")
    return torch.device(name)


def _draw(seed: int, step: int) -> int:
    """A seed of 64 bits for the random numbers of one update, the same on every machine."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
