"""Language identification with a second opinion, by 1,000 characters: the stage with CLD2 beside its own model.

The peers read the head: py3langid and pycld2 one after the other over strings, which is the same work, and pycld2 alone.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from tests.bench import bench_language
from tests.bench.bench_language_sample import CHARACTERS
from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language

STAGE = "language_second"


def ours(batch: pa.RecordBatch) -> object:
    return Language(config=LanguageConfig(sample_characters=CHARACTERS, second="cld2")).score(batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    both = bench_language.identifiers(CHARACTERS)
    if both["pycld2"] is None:
        return both
    return {"py3langid and pycld2": lambda batch: [peer(batch) for peer in both.values() if peer], "pycld2": both["pycld2"]}
