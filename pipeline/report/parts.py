"""The parts of the page that are put together from several measurements.

Guarantee: nothing here is counted; it is chosen and sorted. Cost: O(what is shown).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenmill.pipeline.base.losses import OVER_CAP
from tokenmill.pipeline.base.words import count, number, size
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report import figures, funnel
from tokenmill.pipeline.report.choose import Chosen
from tokenmill.pipeline.report.compression import PackedTotals
from tokenmill.pipeline.report.differences import difference
from tokenmill.pipeline.report.duplicates import Pair
from tokenmill.pipeline.report.excerpts import Excerpt, excerpt
from tokenmill.pipeline.report.fates import SURVIVED, Fate
from tokenmill.pipeline.report.measure import KeptTotals, Preview, Survey
from tokenmill.pipeline.report.retention import alarm_share, by_source, low_recall, recall
from tokenmill.pipeline.stages.dedup.kind import DEDUP

GROUPS = 100
NAMED = 3
"""Sources in the name of a corpus."""


@dataclass(frozen=True, kw_only=True)
class Capped:
    """Records beyond the size that was asked for. They say nothing of the text. `limit`: that size, in words."""

    records: int
    limit: str


@dataclass(frozen=True, kw_only=True)
class SampleGroup:
    """Documents with one fate. `documents`: how many have it."""

    fate: Fate
    documents: int
    shown: list[tuple[Preview, Excerpt]]


def name(corpus: CorpusFolder) -> str:
    """What the corpus is called by its contents: the same text has the same bytes, whoever builds it in whatever folder."""
    installed = {one["name"] for one in corpus.collect.config.get("sources", ()) if one["kind"] == "installed"}
    sources = dict.fromkeys(shard.source for shard in corpus.collect.shards)
    names = ["installed documentation" if name in installed else name for name in sources]
    more = f" and {count(len(names) - NAMED)} more" if len(names) > NAMED else ""
    return f"Corpus of {', '.join(names[:NAMED])}{more}" if names else "Empty corpus"


def capped(corpus: CorpusFolder) -> Capped | None:
    """What the size of the corpus left out; None if it has no limit, or did not reach it."""
    records = corpus.collect.counts.dropped.get(OVER_CAP, 0)
    if not records:
        return None
    config = corpus.collect.config
    limits = [
        f"{said} (collect.{setting})"
        for setting, said in (
            ("max_text_bytes", f"{size(config.get('max_text_bytes') or 0)} of text"),
            ("max_documents", f"{count(config.get('max_documents') or 0)} documents"),
        )
        if config.get(setting)
    ]
    return Capped(records=records, limit=" and ".join(limits) or "a size of its own")


def sources(corpus: CorpusFolder) -> dict[str, KeptTotals]:
    """Documents and bytes by source: as collected, and after the last stage; the sources with most text first."""
    kept = corpus.deciding[-1].by_source()
    found = {
        name: KeptTotals(
            documents=collected.kept, bytes=collected.bytes_kept, kept=kept[name].kept, bytes_kept=kept[name].bytes_kept
        )
        for name, collected in corpus.collect.by_source().items()
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1].bytes, item[0])))


def summed(packed: Mapping[tuple[str, str], PackedTotals], part: int) -> dict[str, PackedTotals]:
    """Sums by one part of the key: 0 sums by split, 1 by source."""
    found: dict[str, PackedTotals] = {}
    for key, one in packed.items():
        found.setdefault(key[part], PackedTotals()).add(one)
    return found


def ranked(languages: Mapping[str, KeptTotals]) -> list[tuple[str, KeptTotals]]:
    """Every label that is among the first by bytes or by documents, sorted by bytes."""
    by_bytes = sorted(languages, key=lambda name: (-languages[name].bytes, name))
    by_documents = sorted(languages, key=lambda name: (-languages[name].documents, name))
    first = {*by_bytes[: figures.SHOWN], *by_documents[: figures.SHOWN]}
    return [(name, languages[name]) for name in by_bytes if name in first]


def samples(corpus: CorpusFolder, chosen: Chosen, found: Survey, characters: int) -> list[SampleGroup]:
    """One group for every reason, in the order of the stages and of the numbers of documents, then the kept documents.

    The samples of a reason come first, then those of sources and places; each document stands here once.
    """
    listed = {doc_id: found.previews[doc_id] for ids in chosen.samples.values() for doc_id in ids}
    listed |= {doc_id: found.previews[doc_id] for doc_id in sorted(chosen.listed()) if doc_id not in listed}
    rows = funnel.rows(corpus)
    fates = [(Fate(row.stage, reason), dropped) for row in rows[1:] for reason, dropped in row.reasons]
    by_fate: dict[Fate, list[tuple[Preview, Excerpt]]] = {}
    for one in listed.values():
        by_fate.setdefault(one.fate, []).append((one, excerpt(one.text, cut=one.cut, characters=characters)))
    return [
        SampleGroup(fate=fate, documents=documents, shown=by_fate.get(fate, []))
        for fate, documents in (*fates[:GROUPS], (SURVIVED, rows[-1].counts.kept))
    ]


def duplicates(corpus: CorpusFolder, chosen: Chosen, found: Survey) -> dict[str, Any] | None:
    """The section on duplicates; None if the stage was left out."""
    made = corpus.step(DEDUP.name)
    if made is None or chosen.duplicates is None:
        return None

    def side_by_side(pairs: list[Pair]) -> list[dict[str, Any]]:
        return [
            {
                "jaccard": pair.jaccard,
                "revision": pair.revision,
                "removed": found.previews[pair.removed],
                "kept": found.previews[pair.kept],
                "differs": difference(found.texts[pair.removed], found.texts[pair.kept]),
            }
            for pair in pairs
        ]

    clusters, scoring, deciding = chosen.duplicates.clusters(), made.config["scoring"], made.config["deciding"]
    least = alarm_share(corpus)
    by = by_source(made, least)
    return {
        "alarm_share": least,
        "rule": DEDUP.words(made),
        "recall": recall(made),
        "low_recall": low_recall(corpus),
        "unique": chosen.unique,
        "loses": number(deciding.get("loses", 1)),
        "grams": f"{scoring.get('ngram')}-grams of {scoring.get('shingle')}",
        "sources": by,
        "retention": figures.retention_chart(by),
        "clusters": sum(clusters.values()),
        "removed": sum(chosen.duplicates.removed_by_size.values()),
        "near": chosen.duplicates.similarities.total,
        "revisions": chosen.duplicates.revisions if chosen.duplicates.revised else None,
        "chart": figures.cluster_chart(clusters),
        "similarities": figures.similarity_chart(chosen.duplicates.similarities, float(deciding.get("threshold", 1))),
        "largest": [(members, found.previews[doc_id]) for members, doc_id in chosen.duplicates.largest],
        "doubtful": side_by_side(chosen.duplicates.doubtful),
        "pairs": side_by_side(chosen.duplicates.others()),
    }
