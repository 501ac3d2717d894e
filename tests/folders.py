"""Corpora that tests make by hand, as the owner of a corpus folder sees them."""

from __future__ import annotations

from typing import Any

from tokenmill.pipeline.config import Config
from tokenmill.pipeline.corpus import CorpusFolder, being_published
from tokenmill.pipeline.stages.settings import parse
from tokenmill.pipeline.stages.step import Work


def settings(**sections: Any) -> Config:
    """Settings with defaults where a section is not given."""
    return parse({"collect": {"paths": ["x"]}, **sections}, where="a test")


def folder_of(work: Work, *later: Any, **sections: Any) -> CorpusFolder:
    """The corpus of `work` with the manifests `later`, as built with these settings."""
    return being_published(work.root, (*work.before, *later), settings(**sections))
