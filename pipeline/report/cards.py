"""One card for each rule: its counts, its curve, other thresholds with what they keep, and the documents at its border.

Guarantee: counts and proposals are exact (see `tallies`, `curves`); tokens are estimated from bytes of text, and say so.
Cost: O(rules).
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from tokenmill.pipeline.base.words import number, visible
from tokenmill.pipeline.report import drawn_rules
from tokenmill.pipeline.report.borders import Border, Borders
from tokenmill.pipeline.report.curves import Proposal, looser, nearest
from tokenmill.pipeline.report.excerpts import Excerpt, excerpt
from tokenmill.pipeline.report.histograms import GRIDS
from tokenmill.pipeline.report.measure import KeptTotals, Preview, Survey
from tokenmill.pipeline.report.tallies import RuleTally
from tokenmill.pipeline.stages.criteria import Criterion

FOLDER = "."
"""Commands of the page are for the folder that holds it. The page's script writes the folder's path, where it knows it."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A document on one side of a threshold, with its score."""

    preview: Preview
    score: str
    others: int
    """How many other rules it fails."""
    excerpt: Excerpt


@dataclass(frozen=True, kw_only=True)
class Option:
    """A threshold with what the stage keeps under it. `now`: it is the one of the corpus."""

    value: str
    documents: int
    change: int
    bytes: int
    now: bool


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the page shows of a rule."""

    stage: str
    name: str
    value: str
    sentence: str
    marked: str
    tally: RuleTally
    logarithmic: bool
    cut: int
    """Documents in the bar that the chart cuts; 0: it cuts none."""
    chart: Markup | None
    options: tuple[Option, ...]
    command: Markup
    kept: tuple[Shown, ...]
    dropped: tuple[Shown, ...]


def cards(found: Survey, borders: Borders, kept: dict[str, tuple[int, int]], characters: int) -> list[Card]:
    """A card for each rule, in the order of the stages and of their rules.

    `kept`: documents and bytes that each stage keeps. `characters`: of each document.
    """
    made = []
    for stage, rules in found.rules.items():
        for criterion, tally in rules.items():
            bounds = _bounds(criterion, rules)
            proposals = drawn_rules.proposals(tally, kept[stage][0], *bounds)
            made.append(
                Card(
                    stage=stage,
                    name=criterion.name,
                    value=json.dumps(criterion.value, ensure_ascii=False),
                    sentence=criterion.measure.sentence,
                    marked=criterion.measure.marked,
                    tally=tally,
                    logarithmic=drawn_rules.is_logarithmic(tally),
                    cut=drawn_rules.cut(tally),
                    chart=drawn_rules.chart(tally),
                    options=_options(tally, proposals, kept[stage]),
                    command=_try(tally, proposals, kept[stage][0], bounds, found.languages),
                    kept=_border(borders.nearest.get((criterion, True), []), tally, found, characters),
                    dropped=_border(borders.nearest.get((criterion, False), []), tally, found, characters),
                )
            )
    return made


def _bounds(criterion: Criterion, rules: Iterable[Criterion]) -> tuple[float, float]:
    """The lowest and the highest threshold that may be proposed: a minimum above its maximum is no setting."""
    limit = criterion.limit
    if limit is None:
        return 0.0, math.inf
    opposite = [
        one.limit.threshold
        for one in rules
        if one.limit is not None and one.limit.column == limit.column and one.limit.is_minimum != limit.is_minimum
    ]
    return (0.0, min(opposite, default=math.inf)) if limit.is_minimum else (max(opposite, default=0.0), math.inf)


def _border(side: list[Border], tally: RuleTally, found: Survey, characters: int) -> tuple[Shown, ...]:
    find = tally.criterion.measure.find
    shown = []
    for one in side:
        preview = found.previews[one.doc_id]
        spans = find(preview.text) if find is not None else []
        part = excerpt(preview.text, spans, cut=preview.cut, characters=characters)
        shown.append(Shown(preview=preview, score=number(one.value), others=one.others, excerpt=part))
    return tuple(shown)


def command(name: str, value: str) -> Markup:
    """The question what another value of a setting would keep, quoted for a shell."""
    return Markup('tokenmill whatif <span class="folder">{}</span> --set {}').format(
        FOLDER, visible(shlex.quote(f"{name}={value}"))
    )


def _plain(value: float) -> str:
    """As a setting is written: 40, 0.15."""
    return str(int(value)) if value == int(value) else f"{value:.6g}"


def _options(tally: RuleTally, proposals: list[Proposal], kept: tuple[int, int]) -> tuple[Option, ...]:
    criterion = tally.criterion
    if criterion.limit is None or criterion.ranked:
        return ()
    threshold = criterion.limit.threshold
    rows = {threshold: Option(value=number(threshold), documents=kept[0], change=0, bytes=kept[1], now=True)}
    for one in proposals:
        documents = one.documents + tally.others[0]
        rows[one.value] = Option(
            value=number(one.value),
            documents=documents,
            change=documents - kept[0],
            bytes=one.bytes + tally.others[1],
            now=False,
        )
    return tuple(rows[value] for value in sorted(rows))


def _try(
    tally: RuleTally,
    proposals: list[Proposal],
    kept: int,
    bounds: tuple[float, float],
    languages: Mapping[str, KeptTotals],
) -> Markup:
    """The command to try first: the smallest gain; a tenth more of a share; one more language."""
    criterion = tally.criterion
    if criterion.ranked:
        share = float(criterion.value)
        return command(criterion.name, _plain(round(min(1.0, share * 1.1), 4) if share < 1 else 0.9))
    if criterion.instead:
        return command(criterion.name, criterion.instead)
    if criterion.limit is None:
        others = sorted(languages, key=lambda name: (-languages[name].documents, name))
        more = [name for name in others if name not in criterion.labels][:1]
        return command(criterion.name, json.dumps([*criterion.labels, *more], ensure_ascii=False))
    proposal = nearest(criterion.limit.threshold, proposals, kept - tally.others[0])
    if proposal is not None:
        return command(criterion.name, _plain(proposal.value))
    # No other threshold makes a difference; one that is a little looser shows that.
    edges, least = GRIDS[tally.profile.fitting].edges, criterion.limit.is_minimum
    return command(criterion.name, _plain(looser(edges, criterion.limit.threshold, *bounds, least=least)))
