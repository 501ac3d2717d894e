"""Render the page: a template lays out what was read and measured.

Guarantee: one file that loads nothing, runs nothing and links to nothing. All data is escaped (autoescape), hidden characters
are shown, and a name that is misspelled in the template is an error (StrictUndefined).
Cost: kilobytes, whatever the size of the corpus.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jinja2

from tokenmill.pipeline.base import words
from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.base.manifest import PACK, TOKENIZER
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report import compression, figures, funnel, rejected, settings
from tokenmill.pipeline.report.choose import Chosen, choose
from tokenmill.pipeline.report.compression import PackedTotals
from tokenmill.pipeline.report.differences import difference
from tokenmill.pipeline.report.duplicates import Pair
from tokenmill.pipeline.report.fates import SURVIVED, Fate
from tokenmill.pipeline.report.measure import KeptTotals, Survey, survey
from tokenmill.pipeline.report.repeats import repeats
from tokenmill.pipeline.report.retention import alarm_share, by_source
from tokenmill.pipeline.report.vocabulary import VocabularyStatistics
from tokenmill.pipeline.stages.dedup.kind import DEDUP
from tokenmill.pipeline.stages.language.kind import LANGUAGE


def render(corpus: CorpusFolder, vocabulary: VocabularyStatistics | None = None) -> str:
    """The HTML of the report. Raises CorruptFile, Misaligned.

    `vocabulary`: the measurements of the tokenizer on the corpus' text; without them, their part is left out.
    """
    chosen = choose(corpus)
    found = survey(corpus, chosen.wanted(), chosen.compared())
    packed = compression.packed(corpus)
    rows = funnel.rows(corpus)
    sources = _sources(corpus)
    language, tokenizer = corpus.step(LANGUAGE.name), corpus.step(TOKENIZER)
    return (
        environment()
        .get_template("page.html")
        .render(
            first=corpus.collect.counts,
            losses=Losses.of(corpus.collect),
            last=rows[-1].counts,
            rows=rows,
            left_out=funnel.left_out(corpus),
            tokens=compression.total(packed) if corpus.step(PACK) is not None else None,
            splits=_by(packed, 0),
            compression=_by(packed, 1),
            vocabulary=vocabulary,
            sweep=tokenizer.facts.get("sweep") if tokenizer is not None else None,
            said=settings.in_words(corpus),
            funnel_charts=figures.funnel_charts(rows),
            reason_chart=figures.reason_chart(rows),
            languages=_ranked(found.languages) if language is not None else None,
            language_charts=figures.language_charts(found.languages) if language is not None else [],
            sources=sources,
            source_chart=figures.source_chart(sources),
            length_chart=figures.length_chart(found),
            score_charts=figures.score_charts(found, language),
            duplicates=_duplicates(corpus, chosen, found),
            repeats=repeats(corpus),
            samples=_samples(corpus, chosen, found),
            survivors=[found.previews[doc_id] for doc_id in chosen.samples.get(SURVIVED, ())],
            dropped=rejected.dropped(corpus),
            quarantined=rejected.quarantined(corpus),
            published=[(made, list(settings.flat(made.config)), list(settings.flat(made.facts))) for made in corpus.steps],
        )
    )


@functools.cache
def environment() -> jinja2.Environment:
    """What the templates of this folder are rendered with: everything is escaped, and a misspelled name is an error."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("tokenmill.pipeline.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters.update(
        count=words.count,
        size=words.size,
        visible=words.visible,
        plain=words.plain,
        clip=words.clip,
        raw=words.raw,
        address=words.address,
    )
    found.globals.update(share=words.share, ratio=words.ratio)
    return found


def _sources(corpus: CorpusFolder) -> dict[str, KeptTotals]:
    """Documents and bytes by source: as collected, and after the last stage."""
    found: dict[str, KeptTotals] = {}
    for shard in corpus.collect.shards:
        tally = found.setdefault(shard.source, KeptTotals())
        tally.documents += shard.counts.kept
        tally.bytes += shard.counts.bytes_kept
    for shard in corpus.deciding[-1].shards:
        tally = found.setdefault(shard.source, KeptTotals())
        tally.kept += shard.counts.kept
        tally.bytes_kept += shard.counts.bytes_kept
    return found


def _by(packed: Mapping[tuple[str, str], PackedTotals], part: int) -> dict[str, PackedTotals]:
    """Sums by one part of the key: 0 sums by split, 1 by source."""
    found: dict[str, PackedTotals] = {}
    for key, one in packed.items():
        found.setdefault(key[part], PackedTotals()).add(one)
    return found


def _ranked(languages: Mapping[str, KeptTotals]) -> list[tuple[str, KeptTotals]]:
    """Every label that is among the first by bytes or by documents, sorted by bytes."""
    by_bytes = sorted(languages, key=lambda name: (-languages[name].bytes, name))
    by_documents = sorted(languages, key=lambda name: (-languages[name].documents, name))
    first = {*by_bytes[: figures.SHOWN], *by_documents[: figures.SHOWN]}
    return [(name, languages[name]) for name in by_bytes if name in first]


def _samples(corpus: CorpusFolder, chosen: Chosen, found: Survey) -> list[dict[str, Any]]:
    """One group for every reason, in the order of the stages and then of the number of documents dropped."""
    groups: list[dict[str, Any]] = []
    for row in funnel.rows(corpus)[1:]:
        for reason, dropped in row.reasons:
            ids = chosen.samples.get(Fate(row.stage, reason), [])
            previews = [found.previews[doc_id] for doc_id in ids]
            groups.append({"stage": row.stage, "reason": reason, "dropped": dropped, "previews": previews})
    return groups


def _duplicates(corpus: CorpusFolder, chosen: Chosen, found: Survey) -> dict[str, Any] | None:
    made = corpus.step(DEDUP.name)
    if made is None or chosen.duplicates is None:
        return None

    def side_by_side(pairs: list[Pair]) -> list[dict[str, Any]]:
        return [
            {
                "jaccard": pair.jaccard,
                "removed": found.previews[pair.removed],
                "kept": found.previews[pair.kept],
                "differs": difference(found.texts[pair.removed], found.texts[pair.kept]),
            }
            for pair in pairs
        ]

    clusters = chosen.duplicates.clusters()
    least = alarm_share(corpus)
    sources = by_source(made, least)
    return {
        "alarm_share": least,
        "rule": DEDUP.words(made),
        "sources": sources,
        "retention": figures.retention_chart(sources),
        "clusters": sum(clusters.values()),
        "removed": sum(chosen.duplicates.removed_by_size.values()),
        "chart": figures.cluster_chart(clusters),
        "largest": [(size, found.previews[doc_id]) for size, doc_id in chosen.duplicates.largest],
        "doubtful": side_by_side(chosen.duplicates.doubtful),
        "pairs": side_by_side(chosen.duplicates.others()),
    }
