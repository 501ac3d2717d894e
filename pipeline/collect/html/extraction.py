"""How the main text of web pages is taken, as the settings of a source say it.

Guarantee: plain values, which parsers have without the library that checks settings. Cost: none.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenmill.pipeline.config.sources import Extract, ExtractFormat

MODEL = Path(__file__).with_name("blocks.json")
"""The trees that choose blocks."""


@functools.cache
def model_digest() -> str:
    """Identifies the model that comes with tokenmill: texts depend on it."""
    return hashlib.sha256(MODEL.read_bytes()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """The settings `extract` and `extract_...` of a source; see `config.sources`."""

    extract: Extract = "blocks"
    extract_format: ExtractFormat = "text"
    extract_bias: float = 0.0
    extract_recall: float = 0.1
    extract_scores: bool = False

    @classmethod
    def of(cls, source: Mapping[str, Any]) -> Extraction:
        """Those of a source whose other settings do not matter. One that is absent or None has its default."""
        given = {name: source.get(name) for name in cls.__dataclass_fields__}
        return cls(**{name: value for name, value in given.items() if value is not None})
