"""A small classifier for all tests here, trained once, and settings that name it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tokenmill.pipeline.stages.quality.recipes import RECIPES
from tokenmill.pipeline.stages.quality.settings import QualityConfig
from tokenmill.pipeline.stages.quality.train import Measured, Training, train

SMALL = Training(buckets=100_000, epochs=20)
GOOD = ["the river flows through the valley", "she reads a letter by the window", "birds return in early spring"]
BAD = ["WIN cash now", "call 0800 free prize", "click here !!! discount"]
NO_RULE = {
    name: 0 if name.startswith("min_") else 1 if threshold < 1 else 1000
    for name, threshold in RECIPES["docs@1"]
    if threshold is not None
}
"""The thresholds of a recipe at which no rule drops anything."""


def documents(phrases: list[str], seed: int, count: int = 60) -> list[str]:
    chosen = random.Random(seed)
    return ["\n".join(chosen.choices(phrases, k=6)) + f"\n{seed} {number}" for number in range(count)]


@dataclass(frozen=True)
class Trained:
    path: Path
    measured: Measured
    examples: Mapping[str, list[str]] = field(repr=False)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    pytest.importorskip("fasttext", reason="fastText has no package for this Python")
    path = tmp_path_factory.mktemp("models") / "good.bin"
    examples = {"positive": documents(GOOD, 1), "negative": documents(BAD, 2)}
    return Trained(path, train(examples["positive"], examples["negative"], path, SMALL), examples)


def config(recipe: str = "docs@1", thresholds: dict[str, Any] | None = None, **entries: Any) -> QualityConfig:
    return QualityConfig.model_validate({"recipe": recipe, "models": entries, **(thresholds or {})})


def entry(trained: Trained, **how: Any) -> dict[str, Any]:
    return {"path": str(trained.path), "label": "positive", **how}
