"""The funnel: what every stage read, kept, dropped and quarantined, straight from the manifests.

Guarantee: read == kept + sum(dropped by reason) + quarantined in every row, because manifests hold it per shard.
Cost: negligible.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.base.manifest import COLLECT, Counts
from tokenmill.pipeline.base.words import NARROW_SPACE, count, size
from tokenmill.pipeline.corpus import CorpusFolder


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stage of the funnel."""

    stage: str
    counts: Counts

    @property
    def dropped(self) -> int:
        return sum(self.counts.dropped.values())

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Reasons with their numbers of documents, the most frequent first."""
        return sorted(self.counts.dropped.items(), key=lambda item: (-item[1], item[0]))


def rows(corpus: CorpusFolder) -> list[Row]:
    """A row for every stage that decides what stays, in order."""
    return [Row(stage=made.stage, counts=made.counts) for made in corpus.deciding]


def left_out(corpus: CorpusFolder) -> dict[str, int]:
    """Entries of the input's folders that collection saw and did not read, by reason. Earlier versions did not count them."""
    collect = corpus.step(COLLECT)
    return dict(collect.facts.get("left_out", {})) if collect is not None else {}


def record_types(corpus: CorpusFolder) -> dict[str, dict[str, int]]:
    """Records of web archives, by source and type. Earlier versions did not count them."""
    collect = corpus.step(COLLECT)
    return dict(collect.facts.get("record_types", {})) if collect is not None else {}


def markdown(corpus: CorpusFolder) -> str:
    """The funnel as a Markdown table, and sentences about what was left out before it and what was not read."""
    head = ("stage", "read", "kept", "dropped", "quarantined", "text in", "text kept", "reasons")
    lines = [f"| {' | '.join(head)} |", "|---|--:|--:|--:|--:|--:|--:|---|"]
    for row in rows(corpus):
        counts = row.counts
        cells = (
            row.stage,
            count(counts.read),
            count(counts.kept),
            count(row.dropped),
            count(counts.quarantined),
            size(counts.bytes_in),
            size(counts.bytes_kept),
            ", ".join(f"{reason} {count(number)}" for reason, number in row.reasons),
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    entries = ", ".join(f"{reason} {count(number)}" for reason, number in left_out(corpus).items())
    if entries:
        lines += ["", f"Entries of the input's folders that were not read: {entries}."]
    for source, types in record_types(corpus).items():
        named = ", ".join(f"{kind} {count(number)}" for kind, number in types.items())
        lines += ["", f"Records in the web archives of {source}, by type: {named}."]
    losses = Losses.of(corpus.collect)
    if losses:
        lines += ["", f"{losses}."]
    return "\n".join(lines).replace(NARROW_SPACE, " ") + "\n"
