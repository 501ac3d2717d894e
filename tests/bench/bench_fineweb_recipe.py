"""All rules of FineWeb's recipe in one pass beside datatrove's four filters, one after the other, each over every document."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import datatrove_peers
from tokenmill.pipeline.stages.quality.settings import QualityConfig
from tokenmill.pipeline.stages.quality.stage import Quality

STAGE = "fineweb_recipe"
ENGLISH = True
PEER_BYTES = {"datatrove": 2_000_000, "datatrove_regex": 2_000_000}


def ours(batch: pa.RecordBatch) -> object:
    return datatrove_peers.filter_batch(Quality(config=QualityConfig(recipe="fineweb@1")), batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    def make(splitter: object) -> object:
        from datatrove.pipeline.filters import (
            C4QualityFilter,
            FineWebQualityFilter,
            GopherQualityFilter,
            GopherRepetitionFilter,
        )

        return datatrove_peers.InTurn(
            [
                GopherRepetitionFilter(language=splitter),
                GopherQualityFilter(language=splitter),
                C4QualityFilter(language=splitter, filter_no_terminal_punct=False),
                FineWebQualityFilter(language=splitter),
            ]
        )

    return datatrove_peers.peers(make)
