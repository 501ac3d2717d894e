"""Stages of tokenmill as steps of datatrove's pipelines.

    from tokenmill.flows.datatrove import LanguageFilter, QualityFilter, TokenWriter

Purpose: who has a pipeline of datatrove's takes one stage of ours into it, and runs it with any of datatrove's executors.
Guarantee: a step decides as a build does on the same text. Reasons and statistics stand where datatrove's own steps put them.
Cost: importing this imports datatrove, 0.5 s. Steps are pickled with their settings; models and machine code are loaded in
each task.
"""

from tokenmill.flows.datatrove.dedup import DedupFilter, DedupSignatures, DedupVerdicts
from tokenmill.flows.datatrove.filters import LanguageFilter, QualityFilter
from tokenmill.flows.datatrove.tokens import TokenCounter, TokenWriter

__all__ = [
    "DedupFilter",
    "DedupSignatures",
    "DedupVerdicts",
    "LanguageFilter",
    "QualityFilter",
    "TokenCounter",
    "TokenWriter",
]
