"""The training loop.

Purpose: `train` trains the model of a corpus for `config.steps` updates. It reads `root/tokens` and writes checkpoints, a log
and, at the end, a manifest to `root/model`.
Guarantee: on the CPU a run that was killed at any moment and started again ends with the same bytes as an undisturbed run
(on the same machine, with the same number of threads): samples and dropout are functions of (seed, step), and everything else
is in the checkpoint. An update with a loss or gradient that is not finite never changes the weights.
Cost: that of the model, plus one JSON line per step, one evaluation every `evaluate_every` steps and one checkpoint every
`checkpoint_every` steps. The host waits for the device every `LOG_EVERY` steps, not at each step.
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
from tokenmill.pipeline.base.errors import ConfigError, CorruptFile, Diverged, InputError
from tokenmill.pipeline.base.manifest import MODEL, PACK, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.corpus import TOKENS
from tokenmill.pipeline.tokens import Split, TokenStore, problems
from tokenmill.pipeline.tokens.samples import Samples, samples_of

VERSION = 1
LOG_EVERY = 10
"""Steps between writes of the log."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What `train` returns."""

    step: int
    """Updates in all."""
    steps_now: int
    """Updates made by this call."""
    tokens: int
    """Tokens trained on in all, repetitions included."""
    parameters: int
    """The number of parameters learned."""
    evaluations: tuple[Evaluation, ...]
    """All evaluations of the run, in order."""


def train(root: Path, config: TrainConfig, progress: Progress, *, resume: bool = True) -> TrainResult:
    """Train on the token store of the corpus in `root`, from its last checkpoint or, with `resume=False`, from the start.

    Call this under the lock of `root / MODEL`. A build may publish a newer version meanwhile; this one is held.

    Raises
    ------
    NotBuilt
        There is no token store.
    CorruptFile
        The store is damaged, or there are checkpoints but none is whole.
    InputError
        The store is too small for one update, or for `config.most_epochs`.
    StaleInput
        The checkpoint belongs to another store, tokenizer, seed, order of samples or shape.
    ConfigError
        The device does not exist, or the weights of the sources are impossible.
    Diverged
        The loss or the gradient is not finite.
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
        raise CorruptFile(f"{problem}; run the build again to rebuild it")
    manifest.withdraw(root, [MODEL])
    checkpoint.remove_after(folder, start.step)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model = GPT(start.shape, dropout=config.dropout, seed=config.seed)
        optimizer = optim.adamw(model.to(device), weight_decay=config.weight_decay)
        if found is not None:
            checkpoint.restore(found, model, optimizer)
        run = _TrainingLoop(
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
class _TrainingLoop:
    """One call of `train`: the model as it changes, and the measurements not yet written to the log."""

    model: GPT
    optimizer: torch.optim.AdamW
    samples: Samples
    validation: Split
    config: TrainConfig
    device: torch.device
    folder: Path
    progress: Progress
    pending: list[tuple[int, float, Tensor]] = field(default_factory=list)
    """For each update not yet logged: its number, its learning rate, and its loss and norm on the device, float [2]."""

    def go(self, state: State) -> Checkpoint:
        """Make all updates that are left after `state`. Returns the last checkpoint. Raises Diverged."""
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
        """Update the weights once: `accumulate` batches forward and backward, then one step of the optimizer."""
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
        """Write the pending losses to the log and return the last one. Raises Diverged at the first one that is not finite."""
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
        """Return `state` with a new evaluation: on a fixed part of the validation split, or on all of it after the last update.

        Without a window in the split, return `state` unchanged.
        """
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
    """Publish the model's manifest with the last checkpoint, unless it is published already."""
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
    """Report changed settings. They may change within a run, but the result is then no longer that of the original settings."""
    changed = [
        f"{name} was {was.config.get(name)!r} and is {value!r}"
        for name, value in now.config.items()
        if was.config.get(name) != value
    ]
    if changed:
        progress.say(f"settings differ from those that the first {was.step} steps were made with: {'; '.join(changed)}")


def _device(name: str) -> torch.device:
    """The device named `name`; "auto" chooses a GPU if there is one. Raises ConfigError if it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not torch.cuda.is_available():
        raise ConfigError(f"train.device={name}: this machine has no such device; set train.device to auto or cpu")
    return torch.device(name)


def _draw(seed: int, step: int) -> int:
    """A 64-bit seed for the random numbers of one update, the same on every machine."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
