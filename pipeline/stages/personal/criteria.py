"""The rules of the stage `personal`, for the report. Most corpora have none: values are masked, and documents stay.

Guarantee: they are those of `stage.Personal.decide`, in its order. Cost: none.
"""

from __future__ import annotations

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.criteria import Criterion, Measure
from tokenmill.pipeline.stages.limits import Limit

TOO_MANY, TOO_MUCH = "too_many_personal_values", "too_much_personal_data"
MEASURES = {
    "max_found": Measure(sentence="Number of values of the kinds that are masked or removed."),
    "max_share": Measure(sentence="Share of the text's bytes in such values, from 0 to 1."),
}


def limits(max_found: int | None, max_share: float) -> list[tuple[str, Limit]]:
    """Reasons with what they compare, without thresholds that drop nothing."""
    found = []
    if max_found is not None:
        found.append((TOO_MANY, Limit(column="found", setting="max_found", threshold=float(max_found))))
    if max_share < 1:
        found.append((TOO_MUCH, Limit(column="share", setting="max_share", threshold=max_share)))
    return found


def criteria(made: Manifest) -> tuple[Criterion, ...]:
    """From the manifest of the stage."""
    deciding = made.config["deciding"]
    return tuple(
        Criterion(
            stage=made.stage,
            reason=reason,
            setting=limit.setting,
            value=deciding[limit.setting],
            measure=MEASURES[limit.setting],
            limit=limit,
        )
        for reason, limit in limits(**deciding)
    )
