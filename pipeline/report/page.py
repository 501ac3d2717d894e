"""Render the page: a template lays out what was read and measured.

Guarantee: one file that loads nothing and links to nothing. All data is escaped, hidden characters are shown, and no script
but `page.js` runs (see `templates`). Lists have an end, and of each document less is shown where the page would have more than
MOST_BYTES.
Cost: milliseconds, whatever the size of the corpus.
"""

from __future__ import annotations

from typing import Any

from tokenmill.pipeline.base import formats
from tokenmill.pipeline.base.executor import Executor, InProcess
from tokenmill.pipeline.base.losses import Losses
from tokenmill.pipeline.base.manifest import PACK, TOKENIZER
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report import cards, compression, figures, funnel, parts, rejected, settings, templates
from tokenmill.pipeline.report.choose import Chosen, choose
from tokenmill.pipeline.report.contamination import examples
from tokenmill.pipeline.report.excerpts import CHARACTERS
from tokenmill.pipeline.report.measure import Survey, survey
from tokenmill.pipeline.report.opinions import opinions
from tokenmill.pipeline.report.personal import personal
from tokenmill.pipeline.report.repeats import repeats
from tokenmill.pipeline.report.urls import urls
from tokenmill.pipeline.report.vocabulary import VocabularyStatistics
from tokenmill.pipeline.stages.language.kind import LANGUAGE

MOST_BYTES = 4_000_000
SHORTER = (CHARACTERS, 1_000, 400, 150, 50, 0)
"""Characters of each document, less and less until the page is small enough."""
ROWS = 200
"""Most rows of a table that has one for each source, rule or setting."""
CARDS = 60


def render(
    corpus: CorpusFolder,
    vocabulary: VocabularyStatistics | None = None,
    *,
    most_bytes: int = MOST_BYTES,
    executor: Executor | None = None,
) -> str:
    """The HTML of the report. Raises CorruptFile, Misaligned, StaleInput.

    `vocabulary`: the measurements of the tokenizer on the corpus' text; without them, their part is left out. `executor`: its
    workers read the text; None: this process does.
    """
    chosen = choose(corpus)
    found = survey(corpus, chosen.wanted(), chosen.compared(), executor or InProcess())
    kept = {row.stage: (row.counts.kept, row.counts.bytes_kept) for row in funnel.rows(corpus)}
    fixed = _fixed(corpus, chosen, found, vocabulary)
    template = templates.environment().get_template("page.html")
    page = ""
    for characters in SHORTER:
        rules = cards.cards(found, chosen.borders, kept, characters)
        passages = {} if chosen.contamination is None else examples(corpus, chosen.contamination, found, characters)
        samples = parts.samples(corpus, chosen, found, characters)
        page = template.render(**fixed, rules=rules, samples=samples, passages=passages)
        if len(page.encode()) <= most_bytes:
            break
    return page


def _fixed(corpus: CorpusFolder, chosen: Chosen, found: Survey, vocabulary: VocabularyStatistics | None) -> dict[str, Any]:
    """All that the template names but documents, of which less can be shown."""
    packed = compression.packed(corpus)
    rows = funnel.rows(corpus)
    sources = parts.sources(corpus)
    tokens = compression.total(packed) if corpus.step(PACK) is not None else None
    language, tokenizer = corpus.step(LANGUAGE.name), corpus.step(TOKENIZER)
    return {
        "name": parts.name(corpus),
        "newest": chosen.origins.newest,
        "version": formats.running(),
        "capped": parts.capped(corpus),
        "first": corpus.collect.counts,
        "losses": Losses.of(corpus.collect),
        "last": rows[-1].counts,
        "rows": rows,
        "left_out": funnel.left_out(corpus),
        "tokens": tokens,
        "splits": parts.summed(packed, 0),
        "compression": parts.summed(packed, 1),
        "vocabulary": vocabulary,
        "sweep": tokenizer.facts.get("sweep") if tokenizer is not None else None,
        "said": settings.in_words(corpus),
        "funnel_charts": figures.funnel_charts(rows),
        "reason_chart": figures.reason_chart(rows),
        "languages": parts.ranked(found.languages) if language is not None else None,
        "language_charts": figures.language_charts(found.languages) if language is not None else [],
        "sources": sources,
        "source_chart": figures.source_chart(sources),
        "origins": chosen.origins,
        "length_chart": figures.length_chart(found),
        "duplicates": parts.duplicates(corpus, chosen, found),
        "repeats": repeats(corpus),
        "urls": urls(corpus),
        "personal": personal(corpus),
        "contamination": chosen.contamination,
        "opinions": opinions(corpus),
        "dropped": rejected.dropped(corpus),
        "quarantined": rejected.quarantined(corpus),
        "published": [
            (made, list(settings.flat(made.config)), list(settings.flat(settings.facts(corpus, made)))) for made in corpus.steps
        ],
        "most_rows": ROWS,
        "most_cards": CARDS,
        # Tokens of text that was dropped are not known; they are estimated by those of the text that was kept.
        "tokens_per_byte": tokens.tokens / tokens.bytes if tokens is not None and tokens.bytes else None,
    }
