"""Language identification: a label and a score for every document, and how much of it is in another language."""

from tokenmill.pipeline.stages.language.stage import Language

__all__ = ["Language"]
