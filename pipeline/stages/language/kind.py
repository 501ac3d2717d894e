"""The entry of the stage `language` in the table of stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import number
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.criteria import Criterion
from tokenmill.pipeline.stages.kind import Finished, StageKind
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.step import Estimate

LABELLED_SINCE = 4
"""The version of the stage whose verdicts hold labels."""


def labels_in(made: Manifest) -> str:
    """Which tables hold the label that each document has in the end: verdicts, in a corpus of an older version scores."""
    return "verdicts" if made.version >= LABELLED_SINCE else "scores"


def _make(config: Config) -> Stage:
    from tokenmill.pipeline.stages.language.stage import Language

    return Language(config=LANGUAGE.settings(config))


def _criteria(made: Manifest) -> tuple[Criterion, ...]:
    from tokenmill.pipeline.stages.language.criteria import criteria

    return criteria(made)


def _words(made: Manifest) -> str:
    deciding = made.config["deciding"]
    keep, threshold, own = deciding["keep"], deciding["threshold"], deciding["thresholds"]
    asked = made.config["scoring"].get("second") if "scoring" in made.config else None
    doubted = f" {_doubts(deciding, asked)}" if asked or deciding.get("check_script") else ""
    what = f"Documents in {', '.join(keep)} were kept" if keep else "Documents in every language were kept"
    if not threshold and not own:
        return f"{what}.{doubted}"
    beside = "".join(f", {label}: {number(own[label])}" for label in sorted(own))
    return f"{what} if the score of their language is at least {number(threshold)}{beside}.{doubted}"


def _doubts(deciding: Mapping[str, Any], asked: Mapping[str, str] | None) -> str:
    """When a label is doubted."""
    when = ["its script is none of the language's"] if deciding.get("check_script") else []
    if asked:
        other = "CLD2" if "cld2" in asked else "the second model"
        fit = number(deciding["min_fit"])
        when.append(f"{other} names a language that the model lacks, or does not confirm it and its fit is below {fit}")
    return f"A document is labelled und if {'; or if '.join(when)}."


def _problems(finished: Finished) -> Iterator[str]:
    from tokenmill.pipeline.stages.language.check import problems

    yield from problems(finished)


LANGUAGE = StageKind(
    name="language",
    section=LanguageConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=40_000_000, disk_per_text=0.01),
    words=_words,
    criteria=_criteria,
    problems=_problems,
)
