"""Remove lines and paragraphs that many documents of a source contain (menus, licences, notices). They become edits."""

from tokenmill.pipeline.stages.repeats.check import problems
from tokenmill.pipeline.stages.repeats.stage import Repeats

__all__ = ["Repeats", "problems"]
