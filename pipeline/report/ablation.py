"""Render the page of an ablation: which variant wins, by how much, and what the seeds alone would do.

Guarantee: one file that loads nothing, runs nothing and links to nothing (see `templates`). Every held-out set and every pair
of variants is shown, whoever wins.
Cost: milliseconds, and about 1 kB for each pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from tokenmill.pipeline.base import formats, words
from tokenmill.pipeline.report import dots
from tokenmill.pipeline.report.dots import DotRow
from tokenmill.pipeline.report.templates import environment


def render(answer: Mapping[str, Any]) -> str:
    """The HTML of what `ablation.json` holds."""
    sets = answer["held_out"]
    return (
        environment()
        .get_template("ablation.html")
        .render(
            **answer,
            version=formats.running(),
            levels=_charts(sets),
            differences={name: _differences(name, one) for name, one in sets.items()},
            tokenizers=len({one["tokenizer"] for one in answer["variants"].values()}),
        )
    )


def _charts(sets: Mapping[str, Any]) -> dict[str, Markup]:
    """For each set, a row for each variant with a dot for each seed."""
    return {
        name: dots.dots(
            f"Bits per byte on {name}",
            [
                DotRow(label=variant, note=f"{found['mean']:.4f}", dots=tuple(found["seeds"]), at=found["mean"])
                for variant, found in sorted(one["bits_per_byte"].items(), key=lambda item: float(item[1]["mean"]))
            ],
        )
        for name, one in sets.items()
    }


def _differences(name: str, one: Mapping[str, Any]) -> Markup:
    """A row for each pair with its interval, and the line at which both are equal."""
    rows = [
        DotRow(
            label=f"{pair['a']} against {pair['b']}",
            note=f"{pair['mean']:+.4f} [{pair['low']:+.4f}, {pair['high']:+.4f}]".replace("-", "\u2212"),
            at=pair["mean"],
            interval=(pair["low"], pair["high"]),
            faint=not pair["told_apart"],
        )
        for pair in one["differences"]
    ]
    return dots.dots(f"Differences on {words.plain(name)}", rows, zero="equal", band=one["spread"])
