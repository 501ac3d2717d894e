"""The settings of a corpus as one frozen, typed value.

Purpose: `load` and `parse` turn TOML into a Config. They refuse an unknown key and name the nearest valid one, and they check
the bounds of every value.
Guarantee: a Config that exists is valid. Stages get slices of it and read no other settings.
Cost: negligible.
"""

from tokenmill.pipeline.config.duplicates import DedupConfig, RepeatsConfig
from tokenmill.pipeline.config.language import LanguageConfig
from tokenmill.pipeline.config.quality import QualityConfig, QualityModel, Thresholds
from tokenmill.pipeline.config.section import Section
from tokenmill.pipeline.config.settings import Attention, Config, PackConfig, TokenizerConfig, TrainConfig
from tokenmill.pipeline.config.sources import CollectConfig, DatasetSource, FilesSource, InstalledSource

__all__ = [
    "Attention",
    "CollectConfig",
    "Config",
    "DatasetSource",
    "DedupConfig",
    "FilesSource",
    "InstalledSource",
    "LanguageConfig",
    "PackConfig",
    "QualityConfig",
    "QualityModel",
    "RepeatsConfig",
    "Section",
    "Thresholds",
    "TokenizerConfig",
    "TrainConfig",
]
