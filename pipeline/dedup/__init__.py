"""Deduplication: exact and near duplicates by verified similarity, with evidence for every removal."""

from pipeline.dedup.check import problems
from pipeline.dedup.stage import Dedup

__all__ = ["Dedup", "problems"]
