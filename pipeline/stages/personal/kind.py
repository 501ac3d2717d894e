"""The entry of the stage `personal` in the table of stages."""

from __future__ import annotations

from collections.abc import Iterator

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.criteria import Criterion
from tokenmill.pipeline.stages.kind import Finished, StageKind
from tokenmill.pipeline.stages.personal.settings import KINDS, NAMES, Kind, PersonalConfig
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.step import Estimate


def _make(config: Config) -> Stage:
    from tokenmill.pipeline.stages.personal import pseudonyms
    from tokenmill.pipeline.stages.personal.stage import Personal

    settings = PERSONAL.settings(config)
    return Personal(config=settings, key=pseudonyms.key_of(settings))


def replacements_of(made: Manifest) -> dict[Kind, str]:
    """What stands in place of values, by kind, in the order of `KINDS`; a manifest that was read has its own order."""
    replacements: dict[Kind, str] = made.config["scoring"]["replacements"]
    return {kind: replacements[kind] for kind in KINDS if kind in replacements}


def _words(made: Manifest) -> str:
    replacements = replacements_of(made)
    masked = [NAMES[kind] for kind, text in replacements.items() if text]
    removed = [NAMES[kind] for kind, text in replacements.items() if not text]
    found = [f"masked: {', '.join(masked)}"] if masked else []
    found += [f"removed: {', '.join(removed)}"] if removed else []
    key = " Equal values have equal pseudonyms." if made.config["scoring"]["key"] else ""
    return f"Of the personal data in texts, these kinds were {'; '.join(found)}.{key}" if found else "No kind was looked for."


def _criteria(made: Manifest) -> tuple[Criterion, ...]:
    from tokenmill.pipeline.stages.personal.criteria import criteria

    return criteria(made)


def _problems(finished: Finished) -> Iterator[str]:
    from tokenmill.pipeline.stages.personal.check import problems

    yield from problems(finished)


PERSONAL = StageKind(
    name="personal",
    section=PersonalConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=120_000_000, disk_per_text=0.01),
    words=_words,
    criteria=_criteria,
    problems=_problems,
)
