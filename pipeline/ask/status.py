"""The state of a corpus: its funnel, its totals and its alarms.

Guarantee: counts come from manifests alone; seconds and recomputed shards come from `runs/`. Cost: one read of the manifests,
and of the tables of quarantined records, if there are any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tokenmill.pipeline.ask import expectations
from tokenmill.pipeline.ask.expectations import ExpectedRun
from tokenmill.pipeline.base import versions
from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.base.manifest import COLLECT, PACK, TOKENIZER, facts
from tokenmill.pipeline.collect.parser import confine
from tokenmill.pipeline.collect.records import FATAL
from tokenmill.pipeline.corpus import QUARANTINE, TOKENS, CorpusFolder
from tokenmill.pipeline.report import funnel as report
from tokenmill.pipeline.report import rejected, retention
from tokenmill.pipeline.tokens import forget
from tokenmill.pipeline.tokens.facts import PackFacts, TokenizerFacts

NEAR = 0.8
"""Above this share of its ceiling, the quarantine is an alarm."""


@dataclass(frozen=True, kw_only=True)
class FunnelRow:
    """One step of a corpus: read == kept + sum(dropped) + quarantined. Bytes are bytes of UTF-8 text."""

    stage: str
    read: int
    kept: int
    dropped: Mapping[str, int]
    """Number of documents by reason."""
    quarantined: int
    bytes_in: int
    bytes_kept: int
    seconds: float | None
    """Seconds that the step took in the last run; None if no record of that run is left."""
    recomputed_shards: int | None


@dataclass(frozen=True, kw_only=True)
class Status:
    """A corpus in numbers. `tokens`, `documents` and `vocabulary` are None until the step that computes them is finished."""

    stages: tuple[FunnelRow, ...]
    alarms: tuple[str, ...]
    left_out: Mapping[str, int]
    """Entries of the input's folders that were seen and not read, by reason. A folder that was not entered counts once. They
    are those of the last collection: an entry that is left out makes nothing stale."""
    record_types: Mapping[str, Mapping[str, int]]
    """Records of web archives by source and type; types without text, such as requests, are in no other count."""
    tokens: int | None
    documents: int | None
    vocabulary: int | None
    forgotten: int
    """Documents on the list of what is to be forgotten: readers mask those that the token files still hold."""
    losses: Losses
    """What collection did not read of its input."""
    version: int | None
    """The number of the published version; None for a corpus that is built in place, or was never finished."""
    unfinished: bool
    """Whether a newer build has begun and is not published yet."""
    superseded: int
    """Older versions that are still on disk, because readers had them open when the newest one was published."""
    expected: tuple[ExpectedRun, ...]
    """What the newest runs with a section `expect` found, the newest first."""


def funnel(corpus: CorpusFolder) -> tuple[FunnelRow, ...]:
    """A row for each finished step that counts documents, in the order of the steps."""
    runs = corpus.last_run()
    rows = []
    for made in corpus.steps:
        if made.stage == TOKENIZER:
            continue
        counts, run = made.counts, runs.get(made.stage, {})
        rows.append(
            FunnelRow(
                stage=made.stage,
                read=counts.read,
                kept=counts.kept,
                dropped=dict(counts.dropped),
                quarantined=counts.quarantined,
                bytes_in=counts.bytes_in,
                bytes_kept=counts.bytes_kept,
                seconds=run.get("seconds"),
                recomputed_shards=run.get("recomputed_shards"),
            )
        )
    return tuple(rows)


def _of_parsers(corpus: CorpusFolder) -> Iterator[str]:
    """What depends on the machine: records whose parsers died, and what this kernel cannot take away from a parser."""
    collect = corpus.step(COLLECT)
    if collect is not None and collect.counts.quarantined:
        counts = rejected.quarantined(corpus).counts
        fatal = sum(count for (_, reason), count in counts.items() if reason in FATAL)
        if fatal:
            yield (
                f"{fatal:,} quarantined {'record' if fatal == 1 else 'records'} ended a parser or took too long, which depends "
                "on the machine: the same bytes are not promised elsewhere"
            )
    yield from (f"parsers of foreign files are less confined here: the kernel lacks {what}" for what in confine.lacking())


def alarms(corpus: CorpusFolder) -> tuple[str, ...]:
    """What somebody should look at: input that was not read, a quarantine near its ceiling, sources that lost too much."""
    collect = corpus.step(COLLECT)
    losses = Losses.of(collect) if collect else Losses()
    unread = [f"{losses}; {QUARANTINE}/ says where"] if losses else []
    return (*unread, *_near_ceiling(corpus, losses), *retention.alarms(corpus))


def _near_ceiling(corpus: CorpusFolder, losses: Losses) -> Iterator[str]:
    collect, config = corpus.step(COLLECT), corpus.known_settings
    if collect is None or config is None:
        return
    # As `check_ceiling` weighs them.
    ceiling = config.collect.quarantine_ceiling
    broken, read = collect.counts.quarantined + losses.unknown, collect.counts.read + losses.unknown
    if broken > NEAR * ceiling * read:
        yield (
            f"{broken:,} of {read:,} records are quarantined ({broken / read:.2%}), near the ceiling of {ceiling:.2%} "
            "(collect.quarantine_ceiling), at which a build stops"
        )


def status(corpus: CorpusFolder) -> Status:
    """The state of a corpus, which may be unfinished. Raises StaleInput."""
    pack, tokenizer = corpus.step(PACK), corpus.step(TOKENIZER)
    known = forget.load(corpus.root / TOKENS)
    collect = corpus.step(COLLECT)
    losses = Losses.of(collect) if collect else Losses()
    return Status(
        stages=funnel(corpus),
        alarms=(*alarms(corpus), *_of_parsers(corpus)),
        left_out=report.left_out(corpus),
        record_types=report.record_types(corpus),
        tokens=PackFacts.of(pack).tokens if pack else None,
        documents=pack.counts.kept if pack else None,
        vocabulary=facts(tokenizer, TokenizerFacts).vocabulary if tokenizer else None,
        forgotten=len(known.documents) if known is not None else 0,
        losses=losses,
        version=int(corpus.published.name) if corpus.published != corpus.root else None,
        unfinished=corpus.known_settings is None or versions.is_unfinished(corpus.root),
        superseded=len(versions.superseded(corpus.root)),
        expected=expectations.history(corpus),
    )
