"""The rules and models of the stage `quality`, for the report.

Guarantee: they are those of `stage.Quality.decide` and `ranking`, in their order. Cost: none.
"""

from __future__ import annotations

import math
from typing import Any

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.criteria import Criterion, Measure
from tokenmill.pipeline.stages.limits import Limit
from tokenmill.pipeline.stages.quality.measures import MEASURES
from tokenmill.pipeline.stages.quality.rules import RULES

SHARE = "keep_fraction"


def criteria(made: Manifest) -> tuple[Criterion, ...]:
    """From the manifest of the stage: the rules that are on, then the models by name; those that keep a share stand last."""
    deciding = made.config["deciding"]
    thresholds = deciding.get("thresholds", {})
    found = [
        Criterion(
            stage=made.stage,
            reason=rule.reason,
            setting=rule.setting,
            value=thresholds[rule.setting],
            measure=MEASURES[rule.column],
            limit=Limit(column=rule.column, setting=rule.setting, threshold=float(thresholds[rule.setting])),
        )
        for rule in RULES
        if rule.setting in thresholds
    ]
    models = sorted(deciding.get("models", {}).items(), key=_order)
    return (*found, *(_model(made, key, value) for key, value in models))


def _order(model: tuple[str, Any]) -> tuple[bool, str]:
    way, _, name = model[0].partition("_model_")
    return way == SHARE, name


def _model(made: Manifest, key: str, value: Any) -> Criterion:
    """`key`: `min_model_<name>`, `max_model_<name>` or `keep_fraction_model_<name>`."""
    way, _, name = key.partition("_model_")
    column = f"model_{name}"
    setting = f"models.{name}.{way}"
    # A model that kept nothing has no cut: then every score is below it.
    cut = (made.facts.get(column) or {}).get("cut") if way == SHARE else value
    threshold = math.inf if cut is None else float(cut)
    label = made.config["scoring"]["models"][name]["label"]
    return Criterion(
        stage=made.stage,
        reason=column,
        setting=setting,
        value=value,
        measure=Measure(sentence=f"Probability that the model {name} gives to {label}, from 0 to 1."),
        limit=Limit(column=column, setting=setting, threshold=threshold),
        ranked=way == SHARE,
    )
