"""Gopher's repetition rules beside datatrove's GopherRepetitionFilter."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import datatrove_peers
from tests.bench.datatrove_peers import Filter
from tokenmill.pipeline.stages.quality.settings import QualityConfig

STAGE = "gopher_repetition"
ENGLISH = True
PEER_BYTES = datatrove_peers.BYTES
FILTER = Filter(
    config=QualityConfig(recipe="gopher@1"),
    rules=(
        "max_duplicate_paragraphs",
        "max_duplicate_paragraph_characters",
        "max_duplicate_lines",
        "max_duplicate_line_characters",
        "max_top_2gram",
        "max_top_3gram",
        "max_top_4gram",
        "max_duplicate_5gram",
        "max_duplicate_6gram",
        "max_duplicate_7gram",
        "max_duplicate_8gram",
        "max_duplicate_9gram",
        "max_duplicate_10gram",
    ),
)


def ours(batch: pa.RecordBatch) -> object:
    return datatrove_peers.filter_batch(FILTER, batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    def make(language: object) -> object:
        from datatrove.pipeline.filters.gopher_repetition_filter import GopherRepetitionFilter

        return GopherRepetitionFilter(language=language)

    return datatrove_peers.peers(make)
