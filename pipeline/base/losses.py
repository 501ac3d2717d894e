"""What a collection did not read of its input, in records and bytes.

Purpose: one fault can take many records with it. The ceiling on quarantine, the status, the report and the end of a build
weigh and say what is lost, not how many faults there were.
Guarantee: `rows` and `unread_bytes` are lost for certain. `estimate` is at least `rows`, and equal to it where the number is
known. Cost: none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenmill.pipeline.base.manifest import Manifest

OVER_CAP = "over_cap"
"""The reason of records that collection leaves out because of `collect.max_documents` or `collect.max_text_bytes`."""
FACT = "losses"
"""The name among the facts of the manifest of `collect`."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Records and bytes of the input that were not read, in some files or in all."""

    rows: int = 0
    """Records that were not read: at least so many."""
    estimate: int = 0
    """About how many they are. Larger than `rows` where a file breaks off and nobody can know how many follow."""
    unread_bytes: int = 0
    """Bytes of files that were not read. What a file that is cut no longer holds is not among them."""
    at_least: bool = False
    """Whether `rows` is a lower bound."""

    @staticmethod
    def total(parts: Iterable[Losses]) -> Losses:
        """The sum of `parts`."""
        parts = list(parts)
        return Losses(
            rows=sum(part.rows for part in parts),
            estimate=sum(part.estimate for part in parts),
            unread_bytes=sum(part.unread_bytes for part in parts),
            at_least=any(part.at_least for part in parts),
        )

    @staticmethod
    def of(collect: Manifest) -> Losses:
        """The losses that the manifest of `collect` names; none in corpora of versions that did not count them."""
        return Losses(**collect.facts.get(FACT, {}))

    @property
    def unknown(self) -> int:
        """How many more records than `rows` were lost, by estimate. Shares of the records weigh them too."""
        return self.estimate - self.rows

    def __bool__(self) -> bool:
        return self.rows > 0

    def __str__(self) -> str:
        """For example "at least 1 record (about 2,488 by estimate) and 154,012 bytes of the input were not read"."""
        least = "at least " if self.at_least else ""
        guess = f" (about {self.estimate:,} by estimate)" if self.estimate > self.rows else ""
        size = f" and {self.unread_bytes:,} bytes" if self.unread_bytes else ""
        were = "was" if self.rows == 1 and not size else "were"
        return f"{least}{self.rows:,} record{'' if self.rows == 1 else 's'}{guess}{size} of the input {were} not read"
