"""What a fault in a stream costs: bytes that were not read, and about how many records are lost with them.

Guarantee: at least one record, and never fewer than what can be counted. Cost: none.
"""

from __future__ import annotations

import math

from tokenmill.pipeline.base.errors import RecordError
from tokenmill.pipeline.collect.records import RECORD_BYTES, Place, Rejected, quarantined

DEFLATED = 4.0
"""Bytes of content per compressed byte (estimate)."""


class StreamError(RecordError):
    """A fault after which the rest of a stream cannot be read.

    unread_bytes: bytes of the file that were not read. A file that is cut has none: what is missing is not there.
    missing: about how many times as much is missing as was read.
    """

    def __init__(self, reason: str, message: str, *, unread_bytes: int, missing: float) -> None:
        super().__init__(reason, message)
        self.unread_bytes = unread_bytes
        self.missing = missing

    def estimate(self, read: int) -> int:
        """About how many records are missing, at least 1, if `read` were read before the fault."""
        return max(1, math.ceil(read * self.missing if read else self.unread_bytes * DEFLATED / RECORD_BYTES))


def broken_off(place: Place, error: RecordError, read: int, preview: bytes = b"") -> Rejected:
    """The records of a file from `place` on, lost to a fault after `read` records."""
    if not isinstance(error, StreamError):
        return quarantined(place, error, preview)
    return quarantined(place, error, preview, unread_bytes=error.unread_bytes, estimate=error.estimate(read))
