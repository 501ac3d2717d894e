"""What every part of the config is: frozen, typed, and strict about its keys. Cost: none."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

MB = 1_000_000


class Section(BaseModel):
    """A frozen part of the config; a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True)
