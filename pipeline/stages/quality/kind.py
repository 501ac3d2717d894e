"""The entry of the stage `quality` in the table of stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.criteria import Criterion
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.quality.recipes import RECIPES, resolve
from tokenmill.pipeline.stages.quality.settings import QualityConfig
from tokenmill.pipeline.stages.step import Estimate, Resolver

DEMONSTRATION = {
    "docs@1": "docs@1 is a demonstration recipe, made for software documentation. It is not a recipe for text from the web, "
    "and rules made for the web keep little of documentation."
}


@dataclass(frozen=True, kw_only=True)
class ShareFacts:
    """Results of a model that keeps a share of the documents."""

    candidates: int
    """Number of documents that passed everything else."""
    kept: int
    cut: float | None
    """The lowest kept score; None if no document was kept."""


def _make(config: Config) -> Stage | Resolver:
    from tokenmill.pipeline.stages.quality.ranking import quality

    return quality(QUALITY.settings(config))


def _criteria(made: Manifest) -> tuple[Criterion, ...]:
    from tokenmill.pipeline.stages.quality.criteria import criteria

    return criteria(made)


def _words(made: Manifest) -> str:
    recipe = made.config["deciding"]["recipe"]
    said = f"Documents had to pass the recipe {recipe}; its thresholds are listed below."
    return f"{said} {DEMONSTRATION[recipe]}" if recipe in DEMONSTRATION else said


def _effective(settings: QualityConfig) -> dict[str, Any]:
    """The settings as JSON values, with the recipe's thresholds where the config sets none."""
    return {**settings.model_dump(mode="json"), **resolve(settings).model_dump(mode="json")}


def _recipes() -> Mapping[str, Mapping[str, Any]]:
    return {name: recipe.model_dump(exclude_none=True) for name, recipe in RECIPES.items()}


QUALITY = StageKind(
    name="quality",
    section=QualityConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=40_000_000, disk_per_text=0.03),
    words=_words,
    criteria=_criteria,
    facts=Mapping[str, ShareFacts],
    effective=_effective,
    recipes=_recipes,
)
