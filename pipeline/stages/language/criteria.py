"""The rules of the stage `language`, for the report.

Guarantee: they are those of `stage.Language.decide`, in its order. Cost: none.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.stages.criteria import Criterion, Mask, Measure
from tokenmill.pipeline.stages.language import doubts
from tokenmill.pipeline.stages.language.codes import group_of
from tokenmill.pipeline.stages.language.doubts import UNDETERMINED
from tokenmill.pipeline.stages.limits import Limit

SCRIPT = Measure(sentence="The script of most letters, which must be one that the language is written in.")
FIT = Measure(
    sentence="How typical of its language the text is, in standard deviations, where the second opinion does not confirm it."
)
BEYOND = Measure(sentence="The second opinion, where it names a language that the model does not have.")
LABEL = Measure(sentence="The language of the text, as the model labels it.")
SCORE = Measure(sentence="How sure the model is of the language that it names, from 0 to 1.")
OTHER = Measure(sentence="Share of the judged lines, by bytes, that are in another language than the document.")


def criteria(made: Manifest) -> tuple[Criterion, ...]:
    """From the manifest of the stage. A threshold of 0 and a share of 1 drop nothing, so they are left out."""
    deciding = made.config["deciding"]
    keep, own = deciding.get("keep", ()), deciding.get("thresholds", {})
    drops = bool(keep) and UNDETERMINED not in keep
    groups = doubts.groups(deciding)
    kept = sorted({member for label in keep for member in group_of(label, groups)})
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
                labels=tuple(kept),
                # What is doubted and kept as `und` is not judged by its label.
                where=None if drops else lambda scores: doubts.doubts(scores, deciding) == "",
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
    if drops:
        found += _doubts(made)
    share = deciding.get("max_other_share", 1)
    if share < 1:
        limit = Limit(column="other_share", setting="max_other_share", threshold=float(share))
        found.append(
            Criterion(
                stage=made.stage, reason="other_share", setting="max_other_share", value=share, measure=OTHER, limit=limit
            )
        )
    return tuple(found)


def _doubts(made: Manifest) -> Iterator[Criterion]:
    """The rules that make `und`, where that is not kept. Without a fit of the model, the second opinion has no card."""
    deciding = made.config["deciding"]

    def unsure(scores: pa.Table) -> Mask:
        return doubts.unsure(scores, deciding)

    if deciding.get("check_script"):
        yield Criterion(
            stage=made.stage,
            reason=doubts.SCRIPT,
            setting="check_script",
            value=True,
            instead="false",
            measure=SCRIPT,
            label_column="script",
            where=lambda scores: doubts.misspelt(scores, deciding) & ~unsure(scores),
        )
    if made.config["scoring"].get("second"):
        yield Criterion(
            stage=made.stage,
            reason=doubts.SECOND,
            setting="second_threshold",
            value=deciding["second_threshold"],
            instead="1",
            measure=BEYOND,
            label_column="second_language",
            where=lambda scores: doubts.unconfirmed(scores, deciding) & doubts.beyond(scores, deciding) & ~unsure(scores),
        )
        yield Criterion(
            stage=made.stage,
            reason=doubts.SECOND,
            setting="min_fit",
            value=deciding["min_fit"],
            measure=FIT,
            limit=Limit(column="language_fit", setting="min_fit", threshold=deciding["min_fit"]),
            where=lambda scores: doubts.unconfirmed(scores, deciding) & ~doubts.beyond(scores, deciding) & ~unsure(scores),
        )
