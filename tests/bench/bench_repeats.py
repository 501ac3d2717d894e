"""Splitting into lines, hashing them and counting documents by line, beside the first step of datatrove's SentenceDedup.

The peer splits at line breaks, normalises each line in its own way, hashes it and sorts; both do this once per shard.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench.datatrove_peers import installed
from tokenmill.pipeline.stages.repeats.scores import units_of
from tokenmill.pipeline.stages.repeats.settings import RepeatsConfig
from tokenmill.pipeline.stages.repeats.stage import Repeats

STAGE = "repeats"
PEER_BYTES = {"datatrove": 8_000_000}
STAGE_OF_OURS = Repeats(config=RepeatsConfig(min_characters=1))

Run = Callable[[pa.RecordBatch], object]


def ours(batch: pa.RecordBatch) -> object:
    return units_of(STAGE_OF_OURS.score(batch)["units"]).grouped()


def peers() -> dict[str, Run | None]:
    return {"datatrove": _datatrove() if installed("datatrove", "spacy") else None}


def _datatrove() -> Run:
    import xxhash
    from datatrove.data import Document
    from datatrove.pipeline.dedup import SentenceDedupSignature
    from datatrove.pipeline.dedup.sentence_dedup import SentDedupConfig

    # The folder is where its `run` would write; nothing is written here.
    step = SentenceDedupSignature("/nonexistent", config=SentDedupConfig(n_sentences=1, split_sentences=False))
    # datatrove 0.10.1 gives xxhash a string, which xxhash refuses since its version 4.
    step.hash_fc = lambda text: xxhash.xxh64_intdigest(text.encode())

    def run(batch: pa.RecordBatch) -> list[object]:
        found: list[object] = []
        for row, text in enumerate(batch["text"].to_pylist()):
            found += step.get_hashes(Document(text=text, id=str(row)), row)
        return sorted(found)  # type: ignore[type-var]

    return run
