"""Lines and paragraphs that stand in many documents of a source: menus, licences, notices. They become edits."""

from pipeline.repeats.check import problems
from pipeline.repeats.stage import Repeats

__all__ = ["Repeats", "problems"]
