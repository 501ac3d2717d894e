"""What the rest of tokenmill knows of a stage.

Purpose: a build, the report and every question to a corpus read these values, so that a new stage touches its own package
and one line of `pipeline.stages.table`.
Guarantee: reading a kind imports no kernel; `make` does. Cost: none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import Named, View
from tokenmill.pipeline.config import Config, Section
from tokenmill.pipeline.stages.criteria import Criterion, none
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.step import Estimate, Resolver

Settings = TypeVar("Settings", bound=Section)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished stage, for the check of its evidence."""

    root: Path
    manifest: Manifest
    before: Sequence[View]
    """The shards as the stage saw them, in document order."""
    after: Sequence[View]
    """The shards as the next stage sees them."""
    most: int | None
    """Evidence that takes reading text is checked on a seeded sample of this many documents; None: on all."""


@dataclass(frozen=True, kw_only=True)
class Rebuild(Generic[Settings]):
    """Settings that somebody asks about without a build. `manifest` is None where the corpus lacks the stage."""

    root: Path
    manifest: Manifest | None
    before: Settings
    after: Settings


@dataclass(frozen=True, kw_only=True)
class Again:
    """A stage with other settings, and what it would decide from."""

    stage: Resolver
    root: Path
    """The folder of the corpus, with what its builds remember."""
    scored: Sequence[tuple[View, Named]]
    """The shards as the stage sees them, with their stored scores."""
    before: tuple[Manifest, ...]


def _no_words(made: Manifest) -> str:
    return f"The stage {made.stage} was run."


def _no_check(config: Config) -> None:
    """Nothing beyond its own section has to fit."""


def _nothing(settings: Any) -> str:
    return ""


def _as_set(settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = settings.model_dump(mode="json")
    return found


@dataclass(frozen=True, kw_only=True)
class StageKind(Generic[Settings]):
    """One stage that may stand between collection and the tokenizer."""

    name: str
    """Its name in `stages`, of its section in the config, and of its folder."""
    section: type[Settings]
    make: Callable[[Config], Stage | Resolver]
    """The stage for these settings. Raises ConfigError."""
    estimate: Estimate
    words: Callable[[Manifest], str] = _no_words
    """What was done, in one or two sentences for people."""
    criteria: Callable[[Manifest], tuple[Criterion, ...]] = none
    """Its rules in the order of its decisions, as the report shows them."""
    facts: Any = dict[str, Any]
    """The type of its own results in the manifest."""
    problems: Callable[[Finished], Iterator[str]] | None = None
    """Checks the evidence: one line for each fault, beginning with the file's path. Raises CorruptFile, Misaligned."""
    check: Callable[[Config], None] = _no_check
    """Raises ValueError where its section contradicts other sections."""
    effective: Callable[[Settings], dict[str, Any]] = _as_set
    """The section as JSON values, with what a preset or a recipe in it stands for."""
    recipes: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    """Values of its settings in named recipes, by recipe, for people who look up a setting."""
    needs_build: Callable[[Rebuild[Settings]], str] | None = None
    """Why other settings cannot be decided from stored scores. None: they can, since `make` gives a stage with `decide`."""
    again: Callable[[Again], Sequence[pa.RecordBatch]] | None = None
    """Verdicts of the rows alive under other settings, shard by shard, of a stage that decides over all shards."""
    comes_to: Callable[[Settings], str] = _nothing
    """What its settings come to, in a sentence; "" where there is nothing to say."""
    remark: Callable[[Settings], str] = _nothing
    """What to say of its settings before a build."""
    alarm: Callable[[Settings], str] = _nothing
    """What somebody should look at in its settings."""
    counts_rows: bool = False
    """True if a decision depends on how many rows reach the stage, so that a change before it needs a build."""

    def settings(self, config: Config) -> Settings:
        """Its section of a config."""
        found: Settings = getattr(config, self.name)
        return found
