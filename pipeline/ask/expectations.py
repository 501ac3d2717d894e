"""Compares a finished corpus with the section `expect` of its settings, and gives the history of earlier runs.

Purpose: a build ends with an error, or a warning, when the corpus is not as expected.
Guarantee: every value comes from manifests, or from tables whose hashes they name. What is found belongs to a run: it goes to
`runs/`, which is not published, so that expectations change no byte of a corpus.
Cost: none but for `language`, which reads two columns of scores and verdicts.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tokenmill.pipeline.ask.fates import forgotten_in, kept_by_language
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ExpectationMissed
from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.base.manifest import CORPUS, PACK
from tokenmill.pipeline.base.words import plain
from tokenmill.pipeline.config import ExpectConfig
from tokenmill.pipeline.config.expect import comparisons, is_met
from tokenmill.pipeline.corpus import REPORT, RUNS, CorpusFolder
from tokenmill.pipeline.tokens.facts import PackFacts

RECORDED, OF_CORPUS = "expectations", "corpus"
"""Names in the record of a run: what was found, and the hash of the corpus in which it was found."""
PAGE = f"{RUNS}/report.html"
"""The report of the newest run that expected something: the published one, and what is met and missed. It is not published."""
OVER_CAP = "over_cap"
"""The reason for which collection drops what does not fit into `collect.max_documents` or `collect.max_text_bytes`."""
MOST_RUNS = 10
"""Runs that a history has at most."""
SEEN_RECORDS = 100
"""The newest records, among which a history looks for runs that expected something."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One expectation and what the corpus has."""

    metric: str
    """Its dotted name in the section, such as `source.web.kept_share`."""
    wanted: str
    """The comparison as it was written, such as `>= 0.2`."""
    value: float | None
    """None where the corpus has no such value: a share of no documents."""
    met: bool


@dataclass(frozen=True, kw_only=True)
class ExpectedRun:
    """What one run found. `run`: the id of the run, which begins with its time (UTC)."""

    run: str
    expectations: tuple[Expectation, ...]

    @property
    def missed(self) -> int:
        return sum(not one.met for one in self.expectations)


@dataclass(kw_only=True)
class _SourceTotals:
    read: int = 0
    over_cap: int = 0
    """Of the records read, those that a limit on the size of the corpus left out."""
    quarantined: int = 0
    documents: int = 0
    tokens: int = 0
    text_bytes: int = 0
    labels: Counter[str] = field(default_factory=Counter)


def compare(corpus: CorpusFolder, expected: ExpectConfig) -> tuple[Expectation, ...]:
    """Each expectation with the value that the corpus has. Raises NotBuilt, CorruptFile, Misaligned."""
    wanted = dict(expected.flat())
    if not wanted:
        return ()
    of_sources = _totals(corpus, labels=any("language." in metric for metric in wanted))
    values = dict(_values(of_sources, Losses.of(corpus.collect)))
    found = []
    for metric, wish in wanted.items():
        # A label that no document has is no value of its own: its share is 0 where there are documents.
        value = values.get(metric, values.get(f"{metric.rpartition('language.')[0]}language"))
        found.append(Expectation(metric=metric, wanted=wish, value=value, met=is_met(wish, value)))
    return tuple(found)


def require(found: tuple[Expectation, ...], expected: ExpectConfig, where: str) -> str | None:
    """What is missed, in one sentence and a line for each, for people; None if nothing is. Raises ExpectationMissed if
    `expected` says so.
    """
    missed = [one for one in found if not one.met]
    if not missed:
        return None
    said = "\n".join(
        (
            f"{where} is built and published, but misses {len(missed)} of {len(found)} expectations:",
            *(f"  {plain(one.metric)} {plain(one.wanted)}: it is {spelled(one)}" for one in missed),
            f"`tokenmill status {where}` shows earlier runs; `tokenmill whatif` tries other thresholds.",
        )
    )
    if expected.on_miss == "fail":
        raise ExpectationMissed(said)
    return said


def spelled(one: Expectation) -> str:
    """The value for people: a share with four digits, never rounded to the bound that it misses."""
    if one.value is None:
        return "not there (no documents)"
    if one.value == int(one.value) and abs(one.value) < 1e15:
        return f"{int(one.value):,}"
    short = f"{one.value:.4g}"
    return short if is_met(one.wanted, float(short)) == one.met else repr(one.value)


def markdown(found: Sequence[Expectation]) -> str:
    """The expectations as a Markdown table."""
    lines = ["| expectation | wanted | value | |", "|---|---|--:|---|"]
    for one in found:
        cells = (plain(one.metric), plain(one.wanted), spelled(one), "met" if one.met else "**missed**")
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def earlier(runs: Sequence[ExpectedRun], metric: str) -> str:
    """The values of a metric in these runs, for people."""
    found = (one for run in runs for one in run.expectations if one.metric == metric)
    return ", ".join(spelled(one) + ("" if one.met else " (missed)") for one in found)


def page(corpus: CorpusFolder) -> Path:
    """The report to look at: that of the run which published this corpus, if it expected something, else the published one."""
    found = corpus.root / PAGE
    newest = next((record for _, record in corpus.records()), {})
    is_current = newest.get(OF_CORPUS) == manifest.load(corpus.published, CORPUS).hash
    return found if is_current and found.is_file() else corpus.root / REPORT


def rendered(corpus: CorpusFolder) -> bytes | None:
    """The report of the newest run with what it expected; None if no run expected anything, or for an older page."""
    # Imports jinja2, which `status` does not need.
    from tokenmill.pipeline.report.expectations import insert

    runs = history(corpus)
    if not runs:
        return None
    rows = [{**vars(one), "value": spelled(one), "earlier": earlier(runs[1:], one.metric)} for one in runs[0].expectations]
    found = insert(files.read_bytes(corpus.published / REPORT).decode(), runs[0].run, rows)
    return found.encode() if found is not None else None


def recorded(found: tuple[Expectation, ...]) -> list[dict[str, Any]]:
    """For the record of a run, as JSON values."""
    return [dict(vars(one)) for one in found]


def history(corpus: CorpusFolder, most: int = MOST_RUNS) -> tuple[ExpectedRun, ...]:
    """What the newest runs found, the newest first, without runs that expected nothing."""
    records = itertools.islice(corpus.records(), SEEN_RECORDS)
    found = (ExpectedRun(run=run, expectations=_read(record.get(RECORDED))) for run, record in records)
    return tuple(itertools.islice((run for run in found if run.expectations), most))


def _read(plain: Any) -> tuple[Expectation, ...]:
    """What a record holds; nothing if it is not what a build writes."""
    try:
        found = TypeAdapter(tuple[Expectation, ...]).validate_python(plain or (), strict=False)
        readable = all(comparisons(one.wanted) and math.isfinite(one.value or 0) for one in found)
    except ValueError:
        return ()
    return found if readable else ()


def _totals(corpus: CorpusFolder, *, labels: bool) -> dict[str, _SourceTotals]:
    """By source. `labels`: also count documents by label of their language."""
    found: dict[str, _SourceTotals] = {}
    for shard in corpus.collect.shards:
        one = found.setdefault(shard.source, _SourceTotals())
        one.read += shard.counts.read
        one.over_cap += shard.counts.dropped.get(OVER_CAP, 0)
        one.quarantined += shard.counts.quarantined
    for split in PackFacts.of(corpus.require(PACK)).splits.values():
        for packed in split.sources:
            one = found.setdefault(packed.source, _SourceTotals())
            one.documents += packed.documents
            one.tokens += packed.tokens
            one.text_bytes += packed.text_bytes
    if labels:
        forgotten = forgotten_in(corpus)
        for documents in corpus.shards:
            found.setdefault(documents.source, _SourceTotals()).labels.update(kept_by_language(corpus, documents, forgotten))
    return found


def _values(of_sources: Mapping[str, _SourceTotals], losses: Losses) -> Iterator[tuple[str, float | None]]:
    """Every value by the name of its metric. `language` without a label is the share of a label that no document has."""
    whole = _SourceTotals()
    for name, one in of_sources.items():
        for metric, value in _values_of(one, 0):
            yield f"source.{name}.{metric}", value
        for number in ("read", "over_cap", "quarantined", "documents", "tokens", "text_bytes"):
            setattr(whole, number, getattr(whole, number) + getattr(one, number))
        whole.labels.update(one.labels)
    yield from _values_of(whole, losses.estimate - losses.rows)


def _values_of(one: _SourceTotals, unknown: int) -> Iterator[tuple[str, float | None]]:
    """`unknown`: records that were not read, as estimated, beside those that are counted."""
    wanted = one.read - one.over_cap
    yield "kept_share", one.documents / wanted if wanted else None
    everything = one.read + unknown
    yield "quarantined", (one.quarantined + unknown) / everything if everything else None
    yield "documents", one.documents
    yield "text_bytes", one.text_bytes
    yield "tokens", one.tokens
    yield "bytes_per_token", one.text_bytes / one.tokens if one.tokens else None
    yield "language", 0.0 if one.documents else None
    for label, documents in one.labels.items():
        yield f"language.{label}", documents / one.documents if one.documents else None
