"""The table of stages: one line each. A new stage has its own package beside these and a line here.

Purpose: everything that goes through the stages of a corpus (settings, builds, questions, the report) reads this table.
Guarantee: importing it imports no kernel. Cost: none.
"""

from __future__ import annotations

from typing import Any

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.stages.decontamination.kind import DECONTAMINATION
from tokenmill.pipeline.stages.dedup.kind import DEDUP
from tokenmill.pipeline.stages.kind import StageKind
from tokenmill.pipeline.stages.language.kind import LANGUAGE
from tokenmill.pipeline.stages.personal.kind import PERSONAL
from tokenmill.pipeline.stages.quality.kind import QUALITY
from tokenmill.pipeline.stages.repeats.kind import REPEATS
from tokenmill.pipeline.stages.urls.kind import URLS

STAGES: tuple[StageKind[Any], ...] = (URLS, LANGUAGE, DEDUP, REPEATS, QUALITY, DECONTAMINATION, PERSONAL)
"""In their usual order; `stages` in the config orders those of a corpus."""


def kind_of(name: str) -> StageKind[Any]:
    """The stage of that name. Raises ConfigError with the nearest one."""
    for kind in STAGES:
        if kind.name == name:
            return kind
    names = [kind.name for kind in STAGES]
    raise ConfigError(f"there is no stage {name!r}; {spelling.hint(name, names)}")
