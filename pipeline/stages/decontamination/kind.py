"""The entry of the stage `decontamination` in the table of stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.base.words import count, number
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.decontamination.settings import DecontaminationConfig
from tokenmill.pipeline.stages.kind import Finished, StageKind
from tokenmill.pipeline.stages.step import Estimate, Resolver


@dataclass(frozen=True, kw_only=True)
class SetFacts:
    """Results for one evaluation set."""

    items: int
    sought: int
    """Items with enough words to be looked for."""
    common: int
    """Items that are common phrases, as a whole or in part."""
    found: int
    """Items that contaminate a document."""
    documents: int
    """Contaminated documents."""


def _make(config: Config) -> Resolver:
    from tokenmill.pipeline.stages.decontamination.stage import Decontamination

    return Decontamination(config=DECONTAMINATION.settings(config))


def _check(config: Config) -> None:
    if DECONTAMINATION.name in config.stages and not DECONTAMINATION.settings(config).sets:
        raise ValueError(
            '`stages` names "decontamination", which needs evaluation sets: add a table [decontamination.sets.NAME] with a path'
        )


def _words(made: Manifest) -> str:
    deciding, sets = made.config["deciding"], made.config["scoring"]["sets"]
    used = [name for name in sets if name not in deciding["ignored_sets"]]
    cut = deciding["action"] == "cut"
    return (
        f"{'Passages' if cut else 'Documents with a passage'} in which at least {number(100 * deciding['threshold'])} % of an "
        f"item of {', '.join(used) or 'no set'} stands were {'cut' if cut else 'dropped'}. A passage of "
        f"fewer than {count(deciding['min_words'])} words does not count, nor does an item of at most "
        f"{count(deciding['common_words'])} words that stands in more than {count(deciding['common_documents'])} documents."
    )


def _problems(finished: Finished) -> Iterator[str]:
    from tokenmill.pipeline.stages.decontamination.check import problems

    yield from problems(finished)


DECONTAMINATION = StageKind(
    name="decontamination",
    section=DecontaminationConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=80_000_000, disk_per_text=0.01),
    words=_words,
    facts=Mapping[str, SetFacts],
    problems=_problems,
    check=_check,
)
