"""The settings that every corpus has, and how TOML becomes one frozen, typed value.

Purpose: `read` turns TOML and `--set` into a Config. It refuses an unknown key and names the nearest valid one, and it checks
the bounds of every value. Sections of stages stand with their stages; `pipeline.stages.settings` puts the whole together.
Guarantee: a Config that exists is valid. Stages get slices of it and read no other settings.
Cost: negligible.
"""

from tokenmill.pipeline.config.execution import ExecutionConfig
from tokenmill.pipeline.config.expect import ExpectConfig
from tokenmill.pipeline.config.section import About, Section, given
from tokenmill.pipeline.config.settings import Config, PackConfig, TokenizerConfig
from tokenmill.pipeline.config.sources import (
    AnySource,
    CollectConfig,
    DatasetSource,
    DatatroveSource,
    FilesSource,
    InstalledSource,
)
from tokenmill.pipeline.config.train import Attention, TrainConfig

__all__ = [
    "About",
    "AnySource",
    "Attention",
    "CollectConfig",
    "Config",
    "DatasetSource",
    "DatatroveSource",
    "ExecutionConfig",
    "ExpectConfig",
    "FilesSource",
    "InstalledSource",
    "PackConfig",
    "Section",
    "TokenizerConfig",
    "TrainConfig",
    "given",
]
