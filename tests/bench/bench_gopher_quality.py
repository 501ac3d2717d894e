"""Gopher's quality rules beside datatrove's GopherQualityFilter."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import datatrove_peers
from tests.bench.datatrove_peers import Filter
from tokenmill.pipeline.stages.quality.settings import QualityConfig

STAGE = "gopher_quality"
ENGLISH = True
PEER_BYTES = datatrove_peers.BYTES
FILTER = Filter(
    config=QualityConfig(recipe="gopher@1"),
    rules=(
        "min_words",
        "max_words",
        "min_mean_word_characters",
        "max_mean_word_characters",
        "max_hashes_per_word",
        "max_ellipses_per_word",
        "max_bullet_lines",
        "max_ellipsis_lines",
        "min_alphabetic_words",
        "min_stop_words",
    ),
)


def ours(batch: pa.RecordBatch) -> object:
    return datatrove_peers.filter_batch(FILTER, batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    def make(language: object) -> object:
        from datatrove.pipeline.filters.gopher_quality_filter import GopherQualityFilter

        return GopherQualityFilter(language=language)

    return datatrove_peers.peers(make)
