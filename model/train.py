"""Trains the model of a corpus.

Purpose: `train` trains for `config.steps` updates. It reads `root/tokens` and writes checkpoints, a log and, at the end, a
manifest to `root/model`.
Guarantee: on the CPU a run that was killed at any moment and started again ends with the same bytes as an undisturbed run
(on the same machine, with the same number of threads): samples and dropout are functions of (seed, step), and everything else
is in the checkpoint.
Cost: that of the loop, one evaluation every `evaluate_every` steps and one checkpoint every `checkpoint_every` steps; at first,
with `unigram_offset`, one pass over the tokens (1 GB/s).
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from tokenmill.model import checkpoint, memory
from tokenmill.model.checkpoint import Checkpoint
from tokenmill.model.evaluate import Evaluation
from tokenmill.model.generate import Choice
from tokenmill.model.gpt import GPT
from tokenmill.model.groups import by_language
from tokenmill.model.loop import TrainingLoop, Voice, evaluation_is_due
from tokenmill.model.objectives.objective import Objective, objective_of
from tokenmill.model.page import TrainingPage
from tokenmill.model.parallel.layout import ALONE, ProcessLayout, require, together
from tokenmill.model.sample import Speaker, encoder_of
from tokenmill.model.setup import device_of, precision_of, prepare, require_tokenizer
from tokenmill.model.state import SPEAKING, State, going_on, of_plain, place_of, to_plain
from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import CorruptFile, InputError, StaleInput
from tokenmill.pipeline.base.manifest import CORPUS, PACK, Manifest
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.corpus import TOKENS, open_corpus
from tokenmill.pipeline.tokens import TokenStore, problems

VERSION = 2
OF_A_MACHINE = {"device", "tensorboard", "examples", "data_parallel", "shard", "tensor_parallel", "pipeline_parallel"}
"""Settings that may differ between two calls of a run, and are not published."""


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


def train(
    root: Path, config: TrainConfig, progress: Progress, *, resume: bool = True, layout: ProcessLayout = ALONE
) -> TrainResult:
    """Train on the token store of the corpus in `root`, from its last checkpoint or, with `resume=False`, from the start.

    Call this under the lock of `root / MODEL`. A build may publish a newer version meanwhile; this one is held. In several
    processes, all of them call it, and the first one holds the lock: it alone reads checkpoints and writes.

    Raises
    ------
    NotBuilt
        There is no token store.
    CorruptFile
        The store is damaged, or there are checkpoints but none is whole.
    InputError
        The store is too small for one update, or for `config.most_epochs`.
    StaleInput
        The store was packed with another tokenizer than the corpus has, or the checkpoint belongs to another store, tokenizer,
        seed, order of samples or shape.
    ConfigError
        The device does not exist, or the weights of the sources are impossible.
    OutOfMemory
        The model does not fit. Where that is known before, nothing of it was allocated; a run goes on from its last checkpoint.
    WorkerDied
        Another process of the run ended.
    Diverged
        The loss or the gradient is not finite, or the loss is far above that of guessing.
    Interrupted
        SIGINT, SIGTERM or SIGHUP arrived. There is a checkpoint of the last update.
    """
    device = device_of(config.device, layout)
    precision = precision_of(config.precision, device)
    store = TokenStore.open(root / TOKENS)
    require_tokenizer(root, store)
    objective = objective_of(root, store, config, progress)
    config, samples = objective.config, objective.samples
    if samples is not None and samples.windows < config.batch_windows * config.accumulate:
        raise InputError(
            f"{store.folder}: {samples.split.tokens} tokens for training are {samples.windows} windows of "
            f"{config.context_tokens=}, but one step reads {config.batch_windows * config.accumulate} (train.batch_windows * "
            "train.accumulate); pack more text, or lower these settings"
        )
    if samples is not None and samples.mixture is not None:
        progress.say(f"sources: {samples.mixture}")
    start = _beginning(store, config, objective)
    require(layout, config, start.shape, device)
    place = place_of(config.objective)
    folder = root / place / checkpoint.FOLDER
    page = TrainingPage(root=root, store=store, objective=objective, device=device, progress=progress, state=start)
    found = checkpoint.newest(folder, progress) if resume and layout.first else None
    finished = False
    if found is not None:
        finished = _is_finished(found, start, store, objective, progress)
        page.state = going_on(found.state, start)
    told = layout.told({"state": to_plain(page.state), "finished": finished})
    start, read = of_plain(told["state"]), start.store
    if start.store != read:
        raise StaleInput(f"{store.folder}: process {layout.rank} reads {read}, and the first one {start.store}; train again")
    if told["finished"]:
        if found is not None:
            checkpoint.prune(folder)
            page.write(found.state)
        return _finish(root, found or Checkpoint(folder=folder, state=start, files={}), steps_now=0, writes=layout.first)
    corpus = open_corpus(root) if manifest.find(root, CORPUS) else None
    for problem in problems(store.folder) if layout.first else ():
        raise CorruptFile(f"{problem}; run the build again to rebuild it")
    if layout.ranks > 1:
        progress.say(str(layout))
    memory.require(start.shape, config, device=device, precision=precision, progress=progress, parts=layout.parts)
    for name, wanted, lost in (("warmup_steps", config.warmup_steps, "rate"), ("ramp_steps", config.ramp_steps, "batch")):
        if wanted >= config.steps:
            progress.say(f"train.{name}={wanted} is not below train.steps={config.steps}: no update has the full {lost}")
    # Who has all of the model can let it speak.
    speaks = config.sample_tokens > 0 and layout.first and layout.parts == 1 and config.objective in SPEAKING
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with memory.watched(start.shape, config), forked:
        made = prepare(
            store,
            start.shape,
            config,
            device=device,
            precision=precision,
            found=found,
            base=objective.base,
            layout=layout,
        )
        if layout.first:
            # Only now, when nothing of the settings is left to be refused.
            manifest.withdraw(root, [place])
            checkpoint.remove_after(folder, start.step if found else -1)
        run = TrainingLoop(
            model=made.model,
            optimizers=made.optimizers,
            scale=made.scale,
            precision=precision,
            objective=objective,
            validation=store.split("val"),
            config=config,
            device=device,
            folder=folder,
            page=page,
            divided=made.divided,
            voice=_voice(root, store.end_of_text, config) if corpus and speaks else None,
            languages=None if corpus is None or objective.validation else by_language(store.split("val"), corpus),
            progress=progress,
        )
        # Once more, so that the page tells that error too.
        with page.told() if layout.first else contextlib.nullcontext(), together(layout), memory.watched(start.shape, config):
            last = run.go(start)
    return _finish(root, last, steps_now=last.state.step - start.step, writes=layout.first)


def _is_finished(found: Checkpoint, start: State, store: TokenStore, objective: Objective, progress: Progress) -> bool:
    """Whether the run of a checkpoint has nothing left to do. Says what changes if it goes on. Raises StaleInput."""
    config = objective.config
    checkpoint.require_same(found, start)
    if found.state.step:
        _say_changes(found.state, start, progress)
    step = found.state.step
    if step < config.steps and step == found.state.config["steps"]:
        progress.say(f"the run had ended at step {step}, and its learning rate had fallen for that; it rises again")
    if step > config.steps:
        progress.say(f"the run has made {step} updates, more than train.steps={config.steps}: it stays as it is")
        return True
    cut = evaluation_is_due(found.state, config) and _has_validation(store, objective)
    return step == config.steps and not cut


def _has_validation(store: TokenStore, objective: Objective) -> bool:
    """Whether an evaluation has something to read that is not forgotten."""
    validation = store.split("val")
    return objective.held_out > 0 and (objective.samples is None or bool(validation.kept(0, validation.tokens).any()))


def _beginning(store: TokenStore, config: TrainConfig, objective: Objective) -> State:
    """The state before the first update."""
    return State(
        step=0,
        samples=0,
        store=store.hash,
        tokenizer=store.tokenizer,
        seed=config.seed,
        order=objective.order,
        end_of_text=store.end_of_text,
        shape=objective.shape,
        labels=objective.labels,
        base="" if objective.base is None else objective.base.weights,
        config=config.model_dump(mode="json", exclude=OF_A_MACHINE),
    )


def _finish(root: Path, last: Checkpoint, *, steps_now: int, writes: bool) -> TrainResult:
    """Publish the model's manifest with the last checkpoint, unless it is published already, or another process `writes`."""
    state = last.state
    tokens = state.samples * state.shape.context_tokens
    facts = {
        "step": state.step,
        "tokens": tokens,
        "parameters": state.shape.parameters,
        "evaluations": [dataclasses.asdict(evaluation) for evaluation in state.evaluations],
    }
    place = place_of(state.objective)
    made = Manifest(
        stage=place,
        version=VERSION,
        config=state.config,
        inputs={PACK: state.store},
        files={f"{place}/{checkpoint.FOLDER}/{name}": entry for name, entry in sorted(last.files.items())},
        facts=facts,
    )
    published = manifest.find(root, place) if writes else made
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
    # What an older version did not know was as it is by default.
    before = TrainConfig().model_dump(mode="json") | dict(was.config)
    changed = [f"{name} was {before[name]!r} and is {value!r}" for name, value in now.config.items() if before[name] != value]
    if changed:
        progress.say(f"settings differ from those that the first {was.step} steps were made with: {'; '.join(changed)}")


def _voice(root: Path, end_of_text: int, config: TrainConfig) -> Voice:
    """Says how a model continues the beginning of a document."""
    encoder, held = encoder_of(root)
    choice = Choice(temperature=0.8, top_k=50)

    def say(model: GPT) -> str:
        speaker = Speaker(model=model, encoder=encoder, end_of_text=end_of_text, held=held)
        said = "".join(speaker.say("", tokens=config.sample_tokens, choice=choice, seed=config.seed))
        model.train()
        return said

    return say
