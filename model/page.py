"""The page of a training: `model/training.html`, which `pipeline/report/training.py` draws from the log.

Guarantee: it is written at each checkpoint, and once more where a run ends before its last update, with the reason. Nothing is
computed from it, and it is in no manifest, since it shows times.
Cost: one reading of what the log has more than last time, and 0.1 seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tokenmill.model.log import LOG
from tokenmill.model.objectives.objective import Objective
from tokenmill.model.state import State, place_of
from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.errors import TokenmillError
from tokenmill.pipeline.base.progress import Progress
from tokenmill.pipeline.base.words import count, many
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.report import training
from tokenmill.pipeline.report.history import History
from tokenmill.pipeline.tokens import TokenStore

NAME = "training.html"
"""Below the folder of the model."""
HASH_DIGITS = 12


@dataclass(kw_only=True)
class TrainingPage:
    """The page of the run on the corpus in `root`."""

    root: Path
    store: TokenStore
    objective: Objective
    device: torch.device
    progress: Progress
    state: State
    """The last checkpoint, or the beginning."""
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(path=self.path.with_name(LOG))

    @property
    def path(self) -> Path:
        """Where it is written."""
        return self.root / place_of(self.objective.config.objective) / NAME

    def write(self, state: State, *, ended: str | None = None) -> None:
        """Write the page of a checkpoint. `ended`: why no update follows, though some were wanted. Raises OSError."""
        self.state = state
        self.history.follow()
        page = training.render(self._run(ended), self.history).encode()
        # A finished run that is called again changes nothing.
        if not self.path.exists() or files.read_bytes(self.path) != page:
            files.write_bytes(self.path, page)

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """If the block, a run, ends with an error of ours, write the page with the reason, and say where it is."""
        try:
            yield
        except TokenmillError as error:
            # A full disk or a lost lock may be what ended the run: that error is the one to show.
            with contextlib.suppress(OSError, TokenmillError):
                self.write(self.state, ended=str(error))
                self.progress.say(f"what it learned until then: {self.path}")
            raise

    def _run(self, ended: str | None) -> training.RunFacts:
        state, shape = self.state, self.state.shape
        defaults = TrainConfig().model_dump(mode="json")
        # A checkpoint of an older version may lack settings.
        config = defaults | dict(state.config)
        per_step = config["batch_windows"] * config["accumulate"]
        samples = self.objective.samples
        model = f"{config['model']}: {many(shape.layers, 'layer')} of width {shape.width}, {many(shape.heads, 'head')}"
        read, mixed = self.objective.source, ""
        if samples is not None:
            read = f"{count(samples.split.tokens)} tokens in {many(samples.split.documents, 'document')}"
            mixed = "" if samples.mixture is None else f", mixed as {samples.mixture}"
        return training.RunFacts(
            corpus=self.root.name or str(self.root),
            parameters=shape.parameters,
            vocabulary=shape.vocabulary,
            steps=config["steps"],
            epochs=state.samples / self.objective.windows,
            facts=(
                ("Objective", f"{config['objective']}, {shape.architecture}"),
                ("Model", f"{model}, a context of {count(shape.context_tokens)} tokens"),
                ("Parameters", count(shape.parameters)),
                ("Vocabulary", f"{count(shape.vocabulary)} tokens of the tokenizer {state.tokenizer[:HASH_DIGITS]}"),
                ("Text", f"{read}, in the token store {state.store[:HASH_DIGITS]}{mixed}"),
                ("An update", f"{count(per_step * shape.context_tokens)} tokens in {many(per_step, 'window')}"),
                ("Optimizer", f"{config['optimizer']} by the schedule {config['schedule']}"),
                ("Device", f"{self.device.type}, precision {config['precision']}"),
                ("Seed", str(state.seed)),
            ),
            settings={name: config[name] for name in TrainConfig.model_fields if name in state.config},
            defaults=defaults,
            step=state.step,
            tokens=state.samples * shape.context_tokens,
            ended=ended,
        )
