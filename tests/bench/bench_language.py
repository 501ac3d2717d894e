"""Language identification over whole texts: the stage's `score` against py3langid and pycld2, both given strings."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from tokenmill.pipeline.stages.language.settings import LanguageConfig
from tokenmill.pipeline.stages.language.stage import Language

STAGE = "language"
PEER_BYTES = {"py3langid": 16_000_000, "pycld2": 48_000_000}


def ours(batch: pa.RecordBatch) -> object:
    return Language(config=LanguageConfig(sample_characters=0)).score(batch)


def peers() -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    return identifiers(characters=None)


def identifiers(characters: int | None) -> dict[str, Callable[[pa.RecordBatch], object] | None]:
    """The peers over each text's first `characters`; None: all of them."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

    def py3langid(batch: pa.RecordBatch) -> object:
        return [identifier.classify(text[:characters]) for text in batch["text"].to_pylist()]

    return {"py3langid": py3langid, "pycld2": _pycld2(characters) if find_spec("pycld2") else None}


def _pycld2(characters: int | None) -> Callable[[pa.RecordBatch], object]:
    import pycld2

    def detect(text: str) -> Any:
        try:
            return pycld2.detect(text)
        except pycld2.error:  # it refuses control characters
            return None

    return lambda batch: [detect(text[:characters]) for text in batch["text"].to_pylist()]
