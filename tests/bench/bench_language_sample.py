"""Language identification by 1,000 characters: the stage takes them from five places, the peers from the head.

Rates are of all bytes of the documents, read or not.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import bench_language
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language

STAGE = "language_sample"
CHARACTERS = 1_000


def ours(batch: pa.RecordBatch) -> object:
    return Language(config=LanguageConfig(sample_characters=CHARACTERS, judged_bytes=0)).score(batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    return bench_language.identifiers(CHARACTERS)
