"""The settings of a corpus: one frozen, typed value.

Purpose: TOML in; unknown keys are refused with the nearest valid name, bounds are checked when the value is made.
Guarantee: a Config that exists is valid; stages get slices of it and read nothing else.
Cost: none worth naming.
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
