"""Language identification: a label and a score for every document, and the share of it that is in another language."""

from tokenmill.pipeline.stages.language.stage import Language

__all__ = ["Language"]
