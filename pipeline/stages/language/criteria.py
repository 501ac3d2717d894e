"""The rules of the stage `language`, for the report.

Guarantee: they are those of `stage.Language.decide`, in its order. Cost: none.
"""

from __future__ import annotations

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.criteria import Criterion, Measure
from tokenmill.pipeline.stages.limits import Limit

LABEL = Measure(sentence="The language of the text, as the model labels it.")
SCORE = Measure(sentence="How sure the model is of the language that it names, from 0 to 1.")
OTHER = Measure(sentence="Share of the judged lines, by bytes, that are in another language than the document.")


def criteria(made: Manifest) -> tuple[Criterion, ...]:
    """From the manifest of the stage. A threshold of 0 and a share of 1 drop nothing, so they are left out."""
    deciding = made.config["deciding"]
    keep, own = deciding.get("keep", ()), deciding.get("thresholds", {})
    found = []
    if keep:
        found.append(
            Criterion(
                stage=made.stage,
                reason="language",
                setting="keep",
                value=list(keep),
                measure=LABEL,
                label_column="language",
                labels=tuple(keep),
            )
        )
    labels = tuple(sorted(own))
    thresholds = {"threshold": deciding["threshold"], **{f"thresholds.{label}": own[label] for label in labels}}
    for setting, value in thresholds.items():
        if not value:
            continue
        others = setting == "threshold"
        limit = Limit(
            column="language_score",
            setting=setting,
            threshold=float(value),
            label_column="language",
            labels=labels if others else (setting.removeprefix("thresholds."),),
            others=others,
        )
        found.append(Criterion(stage=made.stage, reason=limit.column, setting=setting, value=value, measure=SCORE, limit=limit))
    share = deciding.get("max_other_share", 1)
    if share < 1:
        limit = Limit(column="other_share", setting="max_other_share", threshold=float(share))
        found.append(
            Criterion(
                stage=made.stage, reason="other_share", setting="max_other_share", value=share, measure=OTHER, limit=limit
            )
        )
    return tuple(found)
