"""The entry of the stage `personal` in the table of stages."""

from __future__ import annotations

from tokenmill.pipeline.base.manifest import Manifest
from tokenmill.pipeline.config import Config
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.personal.settings import PersonalConfig
from tokenmill.pipeline.stages.protocols import Stage
from tokenmill.pipeline.stages.step import Estimate


def _make(config: Config) -> Stage:
    from tokenmill.pipeline.stages.personal.stage import Personal

    return Personal(config=PERSONAL.settings(config))


def _words(made: Manifest) -> str:
    return f"Personal data were masked or removed in the texts: {', '.join(made.config['scoring']['kinds'])}."


PERSONAL = StageKind(
    name="personal",
    section=PersonalConfig,
    make=_make,
    estimate=Estimate(text_bytes_per_second=200_000_000, disk_per_text=0.01),
    words=_words,
)
