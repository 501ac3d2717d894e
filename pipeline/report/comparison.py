"""Render two corpora side by side as one page, in the style of the report.

Guarantee: one file that loads nothing, runs nothing and links to nothing. All data is escaped, and hidden characters are shown
(see `templates`).
Cost: kilobytes, and 300 characters for each document shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from tokenmill.pipeline.base import words
from tokenmill.pipeline.report import svg
from tokenmill.pipeline.report.svg import Bar
from tokenmill.pipeline.report.templates import environment

MOST_BARS = 12
"""Languages and sources that a chart has; the tables have all."""


def render(answer: Mapping[str, Any]) -> str:
    """The HTML of an answer of `ask.diff`."""
    return (
        environment()
        .get_template("comparison.html")
        .render(
            **{
                **answer,
                "changes": [{**group, "samples": list(map(_sample, group["samples"]))} for group in answer["changes"]],
            },
            names=_names(answer["corpora"]),
            sides=("a", "b"),
            funnel_chart=_funnel(answer["funnel"]),
            source_chart=_shares("Share of kept text by source", answer["sources"], "source", "share_of_text"),
            language_chart=_shares("Share of kept documents by language", answer["languages"] or (), "language", "share"),
        )
    )


def _names(corpora: Mapping[str, Any]) -> dict[str, str]:
    """What the page calls each corpus: the name of its folder; all of the path where both have one name."""
    folders = {side: corpora[side]["folder"] for side in ("a", "b")}
    names = {side: PurePath(folder).name or folder for side, folder in folders.items()}
    if names["a"] == names["b"]:
        names = folders
    for side, name in names.items():
        version = corpora[side]["version"]
        if folders["a"] == folders["b"] and version is not None:
            names = {**names, side: f"{name}, version {version}"}
    return names


def _sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A document as the page shows it: its address without what may be secret, and what was measured, in words."""
    url = words.clip(words.address(sample["url"]), 200) if sample["url"] else ""
    return {
        **sample,
        "url": url,
        "measured": [f"{side.upper()}: {_measure(one)}" for side in "ab" for one in sample[side] or ()],
    }


def _measure(said: Mapping[str, Any]) -> str:
    if "threshold" not in said:
        return f"{said['name']} {said['value']}"
    passed = "passed" if said["passed"] else "failed"
    return f"{said['name']} {said['value']:.6g} against {said['setting']} = {said['threshold']:.6g}, {passed}"


def _funnel(rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Documents kept and dropped by each step, A above B."""
    drawn = []
    for row in rows:
        for side in ("a", "b"):
            counts = row[side]
            if counts is not None:
                parts = (("kept", counts["kept"]), ("dropped", counts["dropped"]), ("broken", counts["quarantined"]))
                note = f"{words.count(counts['kept'])} of {words.count(counts['read'])}"
                drawn.append(Bar(label=f"{row['stage']}, {side.upper()}", parts=parts, note=note))
    return svg.bars("Documents kept and dropped by step, in A and in B", drawn)


def _shares(title: str, rows: Sequence[Mapping[str, Any]], name: str, value: str) -> Markup | None:
    """Shares of A and B, one above the other."""
    drawn = [
        Bar(
            label=f"{row[name]}, {side.upper()}",
            parts=(("kept", row[side][value]), ("rail", 1 - row[side][value])),
            note=words.share(row[side][value], 1),
        )
        for row in rows[:MOST_BARS]
        for side in ("a", "b")
        if row[side] is not None and row[side][value] is not None
    ]
    return svg.bars(title, drawn) if drawn else None
