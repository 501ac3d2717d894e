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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tokenmill.pipeline.ask.fates import labels_by_source
from tokenmill.pipeline.base import files, manifest
from tokenmill.pipeline.base.errors import ExpectationMissed
from tokenmill.pipeline.base.losses import OVER_CAP, Losses
from tokenmill.pipeline.base.manifest import CORPUS, PACK, Counts
from tokenmill.pipeline.base.words import plain
from tokenmill.pipeline.config import ExpectConfig
from tokenmill.pipeline.config.expect import comparisons, is_met
from tokenmill.pipeline.corpus import REPORT, RUNS, CorpusFolder
from tokenmill.pipeline.tokens.facts import PackFacts, SourceFacts

RECORDED, OF_CORPUS = "expectations", "corpus"
"""Names in the record of a run: what was found, and the hash of the corpus in which it was found."""
PAGE = f"{RUNS}/report.html"
"""The report of the newest run that expected something: the published one, and what is met and missed. It is not published."""
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


def compare(corpus: CorpusFolder, expected: ExpectConfig) -> tuple[Expectation, ...]:
    """Each expectation with the value that the corpus has. Raises NotBuilt, CorruptFile, Misaligned."""
    wanted = dict(expected.flat())
    if not wanted:
        return ()
    values = dict(_values(corpus, labels=any("language." in metric for metric in wanted)))
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
    # A copy of a corpus in an object store has it in its version alone.
    published = next((one for one in (corpus.root / REPORT, corpus.published / REPORT) if one.is_file()), corpus.root / REPORT)
    return found if is_current and found.is_file() else published


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


def _values(corpus: CorpusFolder, *, labels: bool) -> Iterator[tuple[str, float | None]]:
    """Every value by the name of its metric, with `labels` also those of languages."""
    collected, packed = corpus.collect.by_source(), PackFacts.of(corpus.require(PACK))
    packed_of, labels_of = packed.by_source(), labels_by_source(corpus) if labels else {}
    for source, counts in collected.items():
        mine = packed_of.get(source, SourceFacts(source=source, documents=0, tokens=0, text_bytes=0))
        for metric, value in _values_of(counts, mine, labels_of.get(source, {}), unread=0):
            yield f"source.{source}.{metric}", value
    of_all = sum(labels_of.values(), Counter())
    yield from _values_of(corpus.collect.counts, packed, of_all, unread=Losses.of(corpus.collect).unknown)


def _values_of(
    collected: Counts, packed: SourceFacts | PackFacts, labels: Mapping[str, int], *, unread: int
) -> Iterator[tuple[str, float | None]]:
    """The values of a source or of all. `unread`: records that were not read, as estimated, beside those that are counted.

    `language` without a label is the share of a label that no document has.
    """
    wanted = collected.read - collected.dropped.get(OVER_CAP, 0)
    yield "kept_share", packed.documents / wanted if wanted else None
    everything = collected.read + unread
    yield "quarantined", (collected.quarantined + unread) / everything if everything else None
    yield "documents", packed.documents
    yield "text_bytes", packed.text_bytes
    yield "tokens", packed.tokens
    yield "bytes_per_token", packed.text_bytes / packed.tokens if packed.tokens else None
    yield "language", 0.0 if packed.documents else None
    for label, documents in labels.items():
        yield f"language.{label}", documents / packed.documents if packed.documents else None
