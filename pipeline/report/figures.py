"""Turn measurements into the charts of the page.

Guarantee: every chart has a table or a caption beside it with its numbers. Cost: O(bins and rows shown).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tokenmill.pipeline.base.losses import OVER_CAP
from tokenmill.pipeline.base.words import count, many, number, share, size, trimmed
from tokenmill.pipeline.report import svg
from tokenmill.pipeline.report.funnel import Row
from tokenmill.pipeline.report.histograms import Histogram
from tokenmill.pipeline.report.measure import KeptTotals, Survey
from tokenmill.pipeline.report.retention import Retained
from tokenmill.pipeline.report.svg import Bar, Tick

SHOWN = 20
TICKS = 5
BIG_CLUSTER = 10


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its title above and its caption below."""

    title: str
    chart: Markup
    caption: str


def funnel_charts(rows: Sequence[Row]) -> list[Figure]:
    """Documents and bytes through the stages."""
    documents = [
        Bar(
            label=row.stage,
            parts=(("kept", row.counts.kept), ("dropped", row.dropped), ("broken", row.counts.quarantined)),
            note=f"{count(row.counts.kept)} of {count(row.counts.read)}",
        )
        for row in rows
    ]
    text = [
        Bar(
            label=row.stage,
            parts=(("kept", row.counts.bytes_kept), ("dropped", max(0, row.counts.bytes_in - row.counts.bytes_kept))),
            note=f"{size(row.counts.bytes_kept)} of {size(row.counts.bytes_in)}",
        )
        for row in rows
    ]
    caption = "What was kept, out of what was read."
    return [
        Figure(title="Documents", chart=svg.bars("Documents kept and dropped by stage", documents), caption=caption),
        Figure(title="Text", chart=svg.bars("Bytes of text kept and dropped by stage", text), caption=caption),
    ]


def reason_chart(rows: Sequence[Row]) -> Figure | None:
    """Why documents left, the most frequent reason first, but for records beyond the size that the corpus was asked to have."""
    read = rows[0].counts.read - rows[0].counts.dropped.get(OVER_CAP, 0)
    every = ((-dropped, row.stage, reason) for row in rows for reason, dropped in row.counts.dropped.items())
    reasons = sorted(one for one in every if one[2] != OVER_CAP)
    drawn = [
        Bar(label=f"{stage}: {reason}", parts=(("dropped", -minus),), note=f"{count(-minus)} · {share(-minus, read)}")
        for minus, stage, reason in reasons[: 2 * SHOWN]
    ]
    caption = "Documents dropped, and their share of the records read."
    return Figure(title="", chart=svg.bars("Documents dropped by reason", drawn), caption=caption) if drawn else None


def language_charts(languages: Mapping[str, KeptTotals]) -> list[Figure]:
    """The languages with the most text and with the most documents."""
    by_bytes = sorted(languages.items(), key=lambda item: (-item[1].bytes, item[0]))[:SHOWN]
    by_documents = sorted(languages.items(), key=lambda item: (-item[1].documents, item[0]))[:SHOWN]
    text = [
        Bar(label=name, parts=(("kept", one.bytes_kept), ("dropped", one.bytes - one.bytes_kept)), note=size(one.bytes))
        for name, one in by_bytes
    ]
    documents = [
        Bar(label=name, parts=(("kept", one.kept), ("dropped", one.documents - one.kept)), note=count(one.documents))
        for name, one in by_documents
    ]
    caption = f"The first {min(SHOWN, len(languages))} of {count(len(languages))} labels. Kept means kept by all stages."
    return [
        Figure(title="By text", chart=svg.bars("Bytes of text by language", text), caption=caption),
        Figure(title="By documents", chart=svg.bars("Documents by language", documents), caption=caption),
    ]


def source_chart(sources: Mapping[str, KeptTotals]) -> Figure:
    """Text by source."""
    drawn = [
        Bar(
            label=name,
            parts=(("kept", one.bytes_kept), ("dropped", max(0, one.bytes - one.bytes_kept))),
            note=f"{size(one.bytes_kept)} of {size(one.bytes)}",
        )
        for name, one in sorted(sources.items(), key=lambda item: (-item[1].bytes, item[0]))[:SHOWN]
    ]
    return Figure(title="", chart=svg.bars("Bytes of text by source", drawn), caption="Text kept, out of text collected.")


def length_chart(survey: Survey) -> Figure | None:
    """Bytes of text per document, on a logarithmic scale."""
    return _histogram("Length of documents", survey.lengths, said=["bytes of text on a logarithmic scale"], label=trimmed)


def retention_chart(sources: Sequence[Retained]) -> Figure:
    """Documents by source, kept and removed as duplicates."""
    drawn = [
        Bar(
            label=one.source,
            parts=(("kept", one.counts.kept), ("dropped", one.lost)),
            note=f"{share(one.lost, one.counts.read)} removed",
        )
        for one in sorted(sources, key=lambda one: (-one.counts.read, one.source))[:SHOWN]
    ]
    caption = "Documents kept and removed as duplicates, out of those that reached this stage."
    return Figure(title="By source", chart=svg.bars("Duplicates by source", drawn), caption=caption)


def similarity_chart(similarities: Histogram, threshold: float) -> Figure | None:
    """Near-duplicates by their similarity to the kept document, and how many would stay with higher thresholds."""
    if not similarities.total:
        return None
    shown = similarities.trimmed(threshold, 1)
    bins = len(shown.kept)
    places = sorted({round(step * (bins - 1) / (TICKS - 1)) for step in range(TICKS)})
    ticks = [Tick(at=place / bins, label=number(float(shown.edges[place]))) for place in places]
    stay = [
        f"{count(int(similarities.dropped[: round(100 * higher)].sum()))} with {number(higher)}"
        for higher in (0.85, 0.9, 0.95)
        if higher > threshold
    ]
    caption = (
        f"{count(similarities.total)} near-duplicates by their similarity to the document that was kept, from the threshold, "
        f"{number(threshold)}, on."
    )
    if stay:
        caption += f" With a higher dedup.threshold at least these would stay: {', '.join(stay)}."
    chart = svg.histogram("Near-duplicates by similarity", shown.kept, shown.dropped, ticks)
    return Figure(title="dedup.threshold", chart=chart, caption=caption)


def cluster_chart(clusters: Mapping[int, int]) -> Figure | None:
    """How many clusters there are of each size."""
    groups: dict[str, int] = {}
    for members, clusters_of_size in sorted(clusters.items()):
        low = high = members
        if members > BIG_CLUSTER:
            low = BIG_CLUSTER + 1
            high = 2 * BIG_CLUSTER
            while members > high:
                low, high = high + 1, high * 2
        label = f"{count(low)} documents" if low == high else f"{count(low)} to {count(high)} documents"
        groups[label] = groups.get(label, 0) + clusters_of_size
    drawn = [Bar(label=label, parts=(("kept", found),), note=count(found)) for label, found in groups.items()]
    caption = "Clusters by the number of documents in them. One document of each cluster was kept."
    return Figure(title="Sizes", chart=svg.bars("Clusters of duplicates by size", drawn), caption=caption) if drawn else None


def _histogram(
    title: str, whole: Histogram, *, said: Sequence[str] = (), label: Callable[[float], str] = number
) -> Figure | None:
    if not whole.total:
        return None
    shown = whole.trimmed()
    bins = len(shown.kept)
    places = sorted({round(step * bins / (TICKS - 1)) for step in range(TICKS)})
    ticks = [Tick(at=place / bins, label=label(float(shown.edges[place]))) for place in places]
    highest = int((shown.kept + shown.dropped).max())
    caption = "; ".join([many(whole.total, "document"), *said, f"the highest bar is {count(highest)}"])
    chart = svg.histogram(f"Histogram: {title}", shown.kept, shown.dropped, ticks)
    return Figure(title=title, chart=chart, caption=f"{caption}.")
