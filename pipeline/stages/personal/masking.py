"""Masks personal data in any text that is shown: documents, excerpts, addresses of pages, metadata.

Purpose: where the stage `personal` is on, no report, log or question shows a value that it masks.
Guarantee: finds what the stage finds in the same text. Replacements name the kind alone, without pseudonyms, since those who
look at a corpus need not have its key. Cost: none to import; see `search`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenmill.pipeline.base.edits import Edit, apply
from tokenmill.pipeline.stages.personal.settings import PersonalConfig


@dataclass(frozen=True)
class Masker:
    """Masks texts by the settings of a corpus."""

    config: PersonalConfig

    @classmethod
    def of(cls, config: PersonalConfig) -> Masker:
        """The masker for the section `personal` of a corpus."""
        return cls(config)

    def edits(self, text: bytes) -> list[Edit]:
        """The edits that mask or remove the personal data in a text, which is UTF-8; sorted and disjoint."""
        (found,) = self.edits_of([text.decode()])
        return found

    def edits_of(self, texts: Sequence[str]) -> list[list[Edit]]:
        """The same for many texts at once, which costs far less for short ones."""
        import pyarrow as pa

        from tokenmill.pipeline.stages.personal.search import findings, sought

        found = findings(pa.array(texts, pa.large_string()), sought(self.config))
        return [[Edit(one.start, one.end, self.config.replacement(one.kind).encode()) for one in row] for row in found]

    def mask(self, text: str) -> str:
        """The text without its personal data."""
        data = text.encode()
        return apply(data, self.edits(data)).decode()
