"""Describe how a corpus was made, in Markdown, for the card of a published data set.

Guarantee: it reads only the manifests, which hold no path of a machine.
Cost: negligible.
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenmill.pipeline.base.words import NARROW_SPACE
from tokenmill.pipeline.corpus import CorpusFolder
from tokenmill.pipeline.report import funnel, settings


def markdown(corpus: CorpusFolder) -> str:
    """Sections for what was done, for the funnel, and for every setting."""
    return "\n".join(_lines(corpus)).replace(NARROW_SPACE, " ")


def _lines(corpus: CorpusFolder) -> Iterator[str]:
    yield "## How it was made\n"
    for stage, sentence in settings.in_words(corpus):
        yield f"- **{stage}**: {sentence}"
    yield f"\n## Funnel\n\n{funnel.markdown(corpus)}\n## Settings\n\n```"
    for made in corpus.deciding:
        for name, value in settings.flat(made.config):
            yield f"{made.stage}.{name} = {value}"
    yield "```"
