"""The state of a training run, except for weights and optimizer.

Purpose: what a checkpoint's JSON holds, and what decides whether a run goes on from it.
Guarantee: a state as JSON values and back is the same; values of other types are refused. Cost: none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import TypeAdapter

from tokenmill.model.evaluate import Evaluation
from tokenmill.model.shape import Shape
from tokenmill.pipeline.base.manifest import MODEL
from tokenmill.pipeline.config.train import Objective

OBJECTIVES: tuple[str, ...] = get_args(Objective)
SPEAKING = ("causal", "instructions")
"""Objectives whose models continue texts."""


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of a run after `step` updates."""

    step: int
    samples: int
    """Samples read so far: where the reader continues."""
    store: str
    """The hash of the token store."""
    tokenizer: str
    """The fingerprint of the tokenizer that the store was packed with."""
    seed: int
    order: str
    """What decides the order of the samples besides the seed (`tokenmill.pipeline.tokens.samples`)."""
    end_of_text: int
    """The id of end-of-text."""
    shape: Shape
    config: Mapping[str, Any]
    """The training settings as JSON values, without the device."""
    evaluations: tuple[Evaluation, ...] = ()
    """The evaluations so far, in the order of their steps."""
    labels: tuple[str, ...] = ()
    """The names of the classes, where the model tells some apart."""
    base: str = ""
    """SHA-256 in hex of the weights that a fine-tuned model began with."""
    imported: str | None = None
    """The architecture of transformers that the run began with; None if its weights began at random."""

    @property
    def objective(self) -> str:
        """What the model learns. Older checkpoints are of causal models."""
        return str(self.config.get("objective", "causal"))


_STATE = TypeAdapter(State)
"""It checks the types of what a JSON holds."""


def place_of(objective: str) -> str:
    """The folder of the model with this objective, below the corpus; also the name of its manifest."""
    return MODEL if objective == "causal" else f"{MODEL}/{objective}"


def to_plain(state: State) -> dict[str, Any]:
    """A state as JSON values."""
    return dataclasses.asdict(state)


def of_plain(plain: Any) -> State:
    """The state of such values."""
    return _STATE.validate_python(plain)


def going_on(was: State, wanted: State) -> State:
    """The state in which the run of the settings in `wanted`, a beginning, goes on from a checkpoint's."""
    if was.step == 0:
        return dataclasses.replace(wanted, imported=was.imported)
    return dataclasses.replace(was, config=wanted.config)


def changed(was: State, wanted: State) -> str:
    """What keeps a run in the state `was` from going on as `wanted`, a beginning, says: values of both; "" if nothing does.

    A run may begin anew from imported weights (step 0) on any tokens of their tokenizer.
    """
    old, new = _identity(was), _identity(wanted)
    names = [name for name in old if was.step or name == "tokenizer" or name.startswith("shape.")]
    return "; ".join(f"{name} was {old[name]!r} and is {new[name]!r}" for name in names if old[name] != new[name])


def _identity(state: State) -> dict[str, Any]:
    """The values that must not change within a run: they decide the samples, their order, and the tensors of a checkpoint."""
    shape = {f"shape.{name}": value for name, value in dataclasses.asdict(state.shape).items()}
    # Before format 5 there was AdamW alone.
    optimizer = state.config.get("optimizer", "adamw")
    plain = {"store": state.store, "tokenizer": state.tokenizer, "seed": state.seed, "optimizer": optimizer}
    return {**plain, **shape, "order": state.order}
