"""Write the corpus report: one self-contained HTML page, made from manifests and published tables.

Guarantee: the same corpus gives the same bytes, because the page holds no times, hosts or paths of a machine. The page loads
nothing and runs no script but its own; text, URLs and names from the corpus appear as text.
Cost: one read of every published table; memory is one shard of text, or one table of rejected records.
"""

from __future__ import annotations

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.executor import Executor
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.corpus import REPORT, CorpusFolder
from tokenmill.pipeline.report.vocabulary import VocabularyStatistics


def write(corpus: CorpusFolder, vocabulary: VocabularyStatistics | None = None, executor: Executor | None = None) -> FileEntry:
    """Write `report.html` into the folder of the corpus; the report names stages that were left out.

    `vocabulary`: what `tokenizer.report` measured of the same corpus; None: the page has no section on the tokenizer.
    `executor`: its workers read the text; None: this process does.

    Raises CorruptFile, StaleInput and Misaligned when tables do not hold what their manifests name.
    """
    from tokenmill.pipeline.report import page

    return files.write_bytes(corpus.root / REPORT, page.render(corpus, vocabulary, executor=executor).encode())


def funnel_markdown(corpus: CorpusFolder) -> str:
    """What each stage read, kept, dropped and quarantined, as a Markdown table."""
    from tokenmill.pipeline.report import funnel

    return funnel.markdown(corpus)


def card_markdown(corpus: CorpusFolder) -> str:
    """How the corpus was made, its funnel and its settings, as Markdown sections."""
    from tokenmill.pipeline.report import card

    return card.markdown(corpus)
