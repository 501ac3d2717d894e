"""What each source lost as duplicates, and which sources lost so much that somebody should look.

Purpose: a source of which almost nothing is left is often a mistake: a wrong order of sources, or a template around short
texts. So are bands that find few of the pairs at the threshold.
Guarantee: an alarm is shown in the report, at the end of a build and in its status. It stops nothing and drops nothing.
Cost: it reads only counts from the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenmill.pipeline.base.manifest import Counts, Manifest
from tokenmill.pipeline.base.words import count, share
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.stages.dedup.kind import DEDUP
from tokenmill.pipeline.stages.dedup.settings import SAME, DedupConfig


@dataclass(frozen=True, kw_only=True)
class Retained:
    """One source in the stage `dedup`."""

    source: str
    counts: Counts
    alarm: bool
    """Whether it lost a larger share of its documents than `dedup.alarm_share`."""

    @property
    def lost(self) -> int:
        return sum(self.counts.dropped.values())

    @property
    def shared_key(self) -> int:
        """Those that left because they share a key."""
        return sum(number for reason, number in self.counts.dropped.items() if reason.startswith(SAME))


def by_source(dedup: Manifest, alarm_share: float) -> list[Retained]:
    """Every source, in the order of its shards."""
    return [
        Retained(source=name, counts=counts, alarm=sum(counts.dropped.values()) > alarm_share * counts.read)
        for name, counts in dedup.by_source().items()
    ]


def alarm_share(corpus: CorpusFolder) -> float:
    """The setting of the corpus; the default while it is not finished."""
    config = corpus.known_settings
    return (DedupConfig() if config is None else DEDUP.settings(config)).alarm_share


def recall(dedup: Manifest) -> str:
    """What the bands are expected to find, in a sentence without its full stop; "" if the manifest does not say it."""
    scoring, found = dedup.config["scoring"], dedup.facts.get("expected_recall")
    if found is None or "bands" not in scoring:
        return ""
    return (
        f"{scoring['bands']} bands of {scoring['rows']} rows find {100 * found:.1f} % of the pairs whose similarity is the "
        "threshold, and more of those that are more alike"
    )


def low_recall(corpus: CorpusFolder) -> str:
    """A sentence, if the bands of a finished corpus find few of the pairs at its threshold; else ""."""
    config = corpus.known_settings
    return "" if config is None or corpus.step(DEDUP.name) is None else DEDUP.alarm(DEDUP.settings(config))


def alarms(corpus: CorpusFolder) -> list[str]:
    """A sentence for each source that lost too much, and one for bands that find too little."""
    dedup, least = corpus.step(DEDUP.name), alarm_share(corpus)
    found = low_recall(corpus)
    return ([found] if found else []) + [
        f"{one.source} lost {count(one.lost)} of its {count(one.counts.read)} documents as duplicates "
        f"({share(one.lost, one.counts.read)}; dedup.alarm_share = {least})"
        for one in (by_source(dedup, least) if dedup is not None else ())
        if one.alarm
    ]
