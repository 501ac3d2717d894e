"""FineWeb's own rules beside datatrove's FineWebQualityFilter."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import datatrove_peers
from tests.bench.datatrove_peers import Filter
from tokenmill.pipeline.stages.quality.settings import QualityConfig

STAGE = "fineweb"
ENGLISH = True
PEER_BYTES = datatrove_peers.BYTES
FILTER = Filter(
    config=QualityConfig(recipe="fineweb@1"),
    rules=(
        "min_punctuated_lines",
        "max_short_lines",
        "max_duplicate_characters",
        "max_newlines_per_word",
    ),
)


def ours(batch: pa.RecordBatch) -> object:
    return datatrove_peers.filter_batch(FILTER, batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    def make(language: object) -> object:
        from datatrove.pipeline.filters.fineweb_quality_filter import FineWebQualityFilter

        return FineWebQualityFilter(language=language)

    return datatrove_peers.peers(make)
