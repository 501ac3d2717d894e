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

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.shards import View
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


def _no_words(made: Manifest) -> str:
    return f"The stage {made.stage} was run."


def _no_check(config: Config) -> None:
    """Nothing beyond its own section has to fit."""


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
    counts_rows: bool = False
    """True if a decision depends on how many rows reach the stage, so that a change before it needs a build."""

    def settings(self, config: Config) -> Settings:
        """Its section of a config."""
        found: Settings = getattr(config, self.name)
        return found
