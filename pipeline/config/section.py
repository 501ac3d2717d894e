"""The base class of every part of the config: frozen, typed, and strict about its keys. Beside it, what sections share.

Cost: none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tokenmill.pipeline.base.errors import ConfigError

MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class About:
    """What the type of a setting does not say, for people who look it up.

    unit: of a number, where the last word of the setting's name is not the unit. kind: what may be written, in words, where it
    is less than the type says. example: a value to try, where none is set.
    """

    unit: str = ""
    kind: str = ""
    example: Any = None


class Section(BaseModel):
    """A frozen part of the config. An unknown key is an error, and so is a number that is not finite. The docstring below a
    setting says what it does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, validate_default=True, allow_inf_nan=False)

    def rankings(self) -> Mapping[str, str]:
        """Score columns of its stage by which documents can be ordered, by the names that settings use. Higher is better."""
        return {}


Sectional = TypeVar("Sectional", bound=Section)


def given(kind: type[Sectional], values: Mapping[str, Any], where: str) -> Sectional:
    """A section with these values. Raises ConfigError that begins with `where` and names every value at fault."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(": ".join([*map(str, fault["loc"]), fault["msg"]]) for fault in error.errors())
        raise ConfigError(f"{where}: {faults}") from error


def leaves(given: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested tables by dotted name."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
