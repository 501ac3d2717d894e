"""C4's rules for lines and pages beside datatrove's C4QualityFilter."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import datatrove_peers
from tests.bench.datatrove_peers import Filter
from tokenmill.pipeline.stages.quality.settings import QualityConfig

STAGE = "c4"
ENGLISH = True
PEER_BYTES = datatrove_peers.BYTES
FILTER = Filter(
    config=QualityConfig(recipe="c4@1"),
    rules=(
        "max_line_word_characters",
        "min_line_words",
        "terminal_punctuation",
        "no_javascript",
        "no_policy",
        "no_citations",
        "max_lorem_ipsum_lines",
        "max_curly_bracket_lines",
        "min_sentences",
    ),
)


def ours(batch: pa.RecordBatch) -> object:
    return datatrove_peers.filter_batch(FILTER, batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    def make(language: object) -> object:
        from datatrove.pipeline.filters.c4_filters import C4QualityFilter

        return C4QualityFilter(language=language)

    return datatrove_peers.peers(make)
