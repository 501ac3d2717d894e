"""The entry of the stage `language` in the table of stages."""

from __future__ import annotations

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import number
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.criteria import Criterion
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.step import Estimate


def _make(config: Config) -> Stage:
    from tokenmill.pipeline.stages.language.stage import Language

    return Language(config=LANGUAGE.settings(config))


def _criteria(made: Manifest) -> tuple[Criterion, ...]:
    from tokenmill.pipeline.stages.language.criteria import criteria

    return criteria(made)


def _words(made: Manifest) -> str:
    deciding = made.config["deciding"]
    keep, threshold, own = deciding["keep"], deciding["threshold"], deciding["thresholds"]
    what = f"Documents in {', '.join(keep)} were kept" if keep else "Documents in every language were kept"
    if not threshold and not own:
        return f"{what}."
    beside = "".join(f", {label}: {number(own[label])}" for label in sorted(own))
    return f"{what} if the score of their language is at least {number(threshold)}{beside}."


LANGUAGE = StageKind(
    name="language",
    section=LanguageConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=40_000_000, disk_per_text=0.01),
    words=_words,
    criteria=_criteria,
)
