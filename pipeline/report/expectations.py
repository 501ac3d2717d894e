"""Puts what a corpus was expected to be like into a copy of its report.

Purpose: the report of a run shows what is met and what is missed. Expectations are questions to a corpus, not a part of it, so
the published `report.html` must not change with them: its bytes stand in the manifest. The copy belongs to the run.
Guarantee: the copy is the published page with one section more, at the place that the template marks. Everything is escaped.
Cost: one read of the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenmill.pipeline.report.templates import environment

MARK = "<!-- expectations -->"
"""Where the section stands in the page."""


def insert(page: str, run: str, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The page with the section, or None if it is of an older version and has no place for it.

    `rows`: for each expectation `metric`, `wanted` and `value` as texts, `met`, and `earlier`, the values of runs before.
    """
    before, mark, behind = page.partition(MARK)
    if not mark:
        return None
    section = environment().get_template("expectations.html").render(run=run, rows=rows)
    return f"{before}{section}{behind}"
