"""Trains the bundled GPT on a corpus, generates text with it, evaluates it, and hands it on.

Guarantee: the settings are those of the corpus, with the given overrides; the output is `model/` in the corpus folder.
Cost: imports torch (1.4 s).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenmill.flows import housekeeping
from tokenmill.pipeline.base import manifest, versions
from tokenmill.pipeline.base.errors import ConfigError, StaleInput
from tokenmill.pipeline.base.manifest import PACK
from tokenmill.pipeline.base.progress import Progress, Silent
from tokenmill.pipeline.config import TrainConfig, fit, lookup
from tokenmill.pipeline.corpus import CONFIG, open_corpus
from tokenmill.pipeline.stages.settings import parse, plain

if TYPE_CHECKING:
    from tokenmill.model.chat import Chat


@dataclass(frozen=True, kw_only=True)
class RatesTried:
    """What a range test found. Parts are of the peaks."""

    peaks: Mapping[str, float]
    """The learning rates of the settings, by name."""
    losses: Sequence[tuple[float, float]]
    """Part and smoothed loss of each update."""
    steepest: float
    """Where the loss fell fastest."""
    lowest: float
    """Where it was lowest."""


def run(
    root: Path, settings: Mapping[str, str], progress: Progress, *, restart_if_stale: bool = False, restart: bool = False
) -> None:
    """Train, or continue training, on the version of the corpus that is published now; builds may publish newer ones meanwhile.

    Raises NotBuilt, StaleInput, ConfigError, and Locked if another training of the same corpus runs.

    `restart`: start again, whatever checkpoints there are. `restart_if_stale`: if the tokens, the shape of the model or the
    optimizer have changed, start again instead of raising StaleInput.
    """
    from tokenmill.model.exchange import brought
    from tokenmill.model.page import NAME
    from tokenmill.model.parallel.layout import joined
    from tokenmill.model.state import place_of
    from tokenmill.model.train import train

    # An imported model brings its shape.
    shape = None if restart else brought(root)
    root, wanted = wanted_of(root, settings, shape)
    with joined(wanted) as layout, housekeeping.at_training(root) if layout.first else contextlib.nullcontext():
        if not layout.first:
            progress = Silent()
        try:
            train(root, wanted, progress, resume=not restart, layout=layout)
        except StaleInput as error:
            if not restart_if_stale or shape is not None:
                raise
            progress.say(f"starting again: {error}")
            train(root, wanted, progress, resume=False, layout=layout)
        place = place_of(wanted.objective)
        progress.say(f"curves, samples and settings: {root / place / NAME}")
        trained, now = manifest.find(root, place), versions.reading(root)
        packed = manifest.find(now.folder, PACK)
        if trained is not None and packed is not None and trained.inputs[PACK] != packed.hash:
            progress.say("the corpus was built anew meanwhile: this model was trained on the tokens before")


def speak(
    root: Path,
    prompt: str,
    *,
    tokens: int,
    choice: Mapping[str, Any],
    seed: int,
    stop: Sequence[str],
    objective: str | None = None,
) -> Iterator[str]:
    """The prompt and its continuation by the model, in pieces. `choice`: how tokens are chosen. Raises NotBuilt, ConfigError.

    `objective`: of the model: see `model.checkpoint.speaking`.
    """
    from tokenmill.model.generate import Choice
    from tokenmill.model.sample import sample

    open_corpus(root)
    return sample(root, prompt, tokens=tokens, choice=Choice(**choice), seed=seed, stop=stop, objective=objective)


def export_model(root: Path, out: Path, progress: Progress, *, objective: str | None = None) -> str:
    """Write the last checkpoint for transformers. Returns the name of the architecture. Raises NotBuilt, ConfigError.

    `objective`: as in `speak`.
    """
    from tokenmill.model.export import export_model as write

    open_corpus(root)
    return write(root, out, progress, objective=objective)


def import_model(
    root: Path, source: Path, progress: Progress, *, context_tokens: int | None = None, replace: bool = False
) -> str:
    """Make a model for transformers the first checkpoint of a corpus. Returns the name of its architecture.

    Raises as `tokenmill.model.exchange.import_model` does, and Locked.
    """
    from tokenmill.model.exchange import import_model as take

    root, wanted = wanted_of(root, {})
    with housekeeping.at_training(root):
        return take(root, source, wanted, progress, context_tokens=context_tokens, replace=replace).architecture


def evaluate(root: Path, tasks: Sequence[str], progress: Progress, *, limit: int | None) -> Mapping[str, Mapping[str, float]]:
    """What lm-eval measures of the model: by task and metric. Raises NotBuilt, ConfigError, InputError."""
    from tokenmill.model.tasks import evaluate_tasks

    open_corpus(root)
    return evaluate_tasks(root, tasks, progress, limit=limit)


def chat(
    root: Path,
    template: str | None,
    *,
    tokens: int,
    choice: Mapping[str, Any],
    seed: int,
    stop: Sequence[str],
    objective: str | None = None,
) -> Chat:
    """A conversation with the model that begins. Parameters as those of `speak`. Raises NotBuilt, ConfigError.

    `template`: None: the one that the model was fine-tuned with, or the one that is the default of the settings.
    """
    from tokenmill.model.chat import Chat, ChatTemplate
    from tokenmill.model.generate import Choice
    from tokenmill.model.sample import open_speaker, require_sensible

    require_sensible(tokens=tokens, seed=seed, stop=stop)
    given, chosen = None if template is None else ChatTemplate.parse(template), Choice(**choice)
    open_corpus(root)
    speaker = open_speaker(root, objective=objective)
    parsed = given or ChatTemplate.parse(speaker.template)
    return Chat(speaker=speaker, template=parsed, tokens=tokens, choice=chosen, seed=seed, stop=stop)


def range_test(root: Path, settings: Mapping[str, str], progress: Progress, *, updates: int) -> RatesTried:
    """Try learning rates on a new model of a corpus; nothing is written. Raises as `run` does, but Locked."""
    from tokenmill.model import range_test as test

    root, wanted = wanted_of(root, settings)
    tried = test.range_test(root, wanted, progress, updates=updates)
    peaks = {"learning_rate": wanted.learning_rate}
    if wanted.optimizer == "muon":
        peaks["muon_learning_rate"] = wanted.muon_learning_rate
    losses = [(one.part, one.loss) for one in tried]
    return RatesTried(peaks=peaks, losses=losses, steepest=test.steepest(tried).part, lowest=test.lowest(tried).part)


def wanted_of(root: Path, settings: Mapping[str, str], brought: Mapping[str, Any] | None = None) -> tuple[Path, TrainConfig]:
    """The folder of a corpus, and its settings of training. Over them stand those `brought` by a model, then `settings`."""
    corpus = open_corpus(root)
    root = corpus.root
    _require_train(settings)
    values = plain(corpus.settings)
    values["train"] = {name: value for name, value in (values["train"] | dict(brought or {})).items() if value is not None}
    whole = parse(values, where=str(root / CONFIG), overrides=settings)
    fit.require_weights(whole)
    return root, whole.train


def wanted_alone(settings: Mapping[str, str]) -> TrainConfig:
    """The settings of training where there is no corpus. Raises ConfigError."""
    _require_train(settings)
    return parse({"collect": {}}, where="--set", overrides=settings, without_input=True).train


def _require_train(settings: Mapping[str, str]) -> None:
    """Raises ConfigError for a setting of another section."""
    foreign = next((key for key in settings if not key.startswith("train.")), None)
    if foreign is not None:
        known = [f"train.{name}" for name in TrainConfig.model_fields]
        near = lookup.near(f"train.{foreign.rpartition('.')[2]}", known)
        hint = f"did you mean --set {near}={settings[foreign]}?" if near else "`tokenmill config explain train` lists them"
        raise ConfigError(f"--set {foreign}: training takes only settings of the section `train`; {hint}")
