"""Numbers that the trainer cannot compute with are refused by name, whichever setting has them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import TrainConfig
from tokenmill.pipeline.stages.settings import parse

NEVER = ["inf", "-inf", "nan", "1e400", "1e-300", "-1e-300", "1e300", str(2**70), "1" + "0" * 5000, "-1"]
"""As they are typed. A number of thousands of digits is more than Python reads."""


def numbers() -> Iterator[str]:
    """The settings of the trainer that take a number."""
    for name, setting in TrainConfig.model_fields.items():
        if any(kind in str(setting.annotation).replace("Literal", "") for kind in ("int", "float")) or name == "weights":
            yield name


@pytest.mark.parametrize("name", list(numbers()))
def test_every_number_has_bounds(name: str) -> None:
    for value in NEVER:
        key = "train.weights.web" if name == "weights" else f"train.{name}"
        with pytest.raises(ConfigError, match=rf"--set {key}|train\.{name}") as told:
            parse({"collect": {"paths": ["a"]}}, where="a.toml", overrides={key: value})
        assert len(str(told.value)) < 700, "a long number is not repeated"
        assert "example --set train.clip_norm=inf" not in str(told.value)


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ({"learning_rate": 1e-300}, r"a.toml: train.learning_rate: is beyond the numbers that float32 computes with"),
        ({"weights": {"web": 1e300}}, r"a.toml: train.weights: is beyond the numbers"),
        (
            {"warmup_steps": 2**70},
            r"a.toml: train.warmup_steps: must be at most 2,147,483,647 \(given: 1180591620717411303424\)",
        ),
        ({"seed": 2**63}, r"a.toml: train.seed: must be a whole number, at least 0"),
        ({"clip_norm": math.inf}, r"a.toml: train.clip_norm: must be a number, above 0 \(given: inf\); for example"),
    ],
)
def test_a_file_is_named_with_the_value(plain: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse({"collect": {"paths": ["a"]}, "train": plain}, where="a.toml")


def test_what_is_large_or_small_but_sensible_stays() -> None:
    made = TrainConfig(seed=2**63 - 1, clip_norm=1e9, z_loss=0.0, weight_decay=-0.0, min_learning_rate=1e-12, steps=10**9)
    assert (made.seed, made.clip_norm, made.steps) == (2**63 - 1, 1e9, 10**9)
