"""Write the corpus report: one self-contained HTML page, made from manifests and published tables.

Guarantee: the same corpus gives the same bytes, because the page holds no times, hosts or paths of a machine. The page loads
nothing and runs nothing; text, URLs and names from the corpus appear as text.
Cost: one read of every published table; memory is one shard of text, or one table of rejected records.
"""

from __future__ import annotations

from pathlib import Path

from tokenmill.pipeline.base import files
from tokenmill.pipeline.base.files import FileEntry
from tokenmill.pipeline.report.vocabulary import Vocabulary

NAME = "report.html"


def write(root: Path, vocabulary: Vocabulary | None = None) -> FileEntry:
    """Write `root/report.html` from what the stages below `root` published. The page names stages that were left out.

    `vocabulary`: what `tokenmill.tokenizer.report` measured on the same corpus; without it, its part of the page is left out.

    Raises NotBuilt without a collection, StaleInput when a stage was made from inputs other than those present, CorruptFile and
    Misaligned when tables do not hold what their manifests name.
    """
    from tokenmill.pipeline.report import corpus, page

    return files.write_bytes(root / NAME, page.render(corpus.load(root), vocabulary).encode())


def funnel_markdown(root: Path) -> str:
    """What each stage read, kept, dropped and quarantined, as a Markdown table. Raises what `write` raises."""
    from tokenmill.pipeline.report import corpus, funnel

    return funnel.markdown(corpus.load(root))


def card_markdown(root: Path) -> str:
    """How the corpus was made, its funnel and its settings, as Markdown sections. Raises what `write` raises."""
    from tokenmill.pipeline.report import card, corpus

    return card.markdown(corpus.load(root))
