"""The base class of every part of the config: frozen, typed, and strict about its keys. Cost: none."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

MB = 1_000_000


class Section(BaseModel):
    """A frozen part of the config. An unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True)

    def rankings(self) -> Mapping[str, str]:
        """Score columns of its stage by which documents can be ordered, by the names that settings use. Higher is better."""
        return {}
