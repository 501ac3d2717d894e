"""What a validator finds around an anchor.

Guarantee: places are characters of the window that the validator was given. Cost: none.
"""

from __future__ import annotations

from typing import NamedTuple

from tokenmill.pipeline.stages.personal.settings import Kind


class Sighting(NamedTuple):
    """One value: [start, end) in characters of a window, its kind, and the value in the form that a pseudonym is made of."""

    start: int
    end: int
    kind: Kind
    value: str
