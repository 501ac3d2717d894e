"""The section `expect`: what a finished corpus must be like.

Purpose: a build can end without an error and still be wrong: an input of which half is missing, a threshold with a digit too
many. Expectations say so at the end of the build.
Guarantee: the section changes no fingerprint and stands in no published file: it asks about a corpus and makes nothing of it.
An expectation that exists can be compared: its metric is known, and its number is in the metric's bounds.
Cost: none.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.config.section import About, Section, leaves

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
COMPARISON = re.compile(r"(>=|<=|==|>|<)\s*((?:[0-9][0-9_]{0,30})?\.?[0-9][0-9_]{0,30}(?:[eE][+-]?[0-9]{1,3})?)")
OF_SOURCE = re.compile(r"source\.(?P<source>.+?)\.(?P<metric>language\..+|[^.]*)")


def comparisons(text: str) -> tuple[tuple[str, float], ...]:
    """`">= 0.2, < 0.9"` -> `((">=", 0.2), ("<", 0.9))`. Raises ValueError."""
    found = []
    for part in text.split(","):
        match = COMPARISON.fullmatch(part.strip())
        number = float(match[2].replace("_", "")) if match else math.inf
        if match is None or math.isinf(number):
            if "%" in part:
                raise ValueError(f'write a share as a number from 0 to 1, such as ">= 0.2" for 20 % (given: {text[:80]!r})')
            raise ValueError(f'write a comparison with a number, such as ">= 0.2" or ">= 0.2, <= 0.9" (given: {text[:80]!r})')
        found.append((match[1], number))
    return tuple(found)


def is_met(wanted: str, value: float | None) -> bool:
    """Whether a value passes all comparisons of `wanted`. A value that the corpus does not have (None) passes none."""
    return value is not None and all(OPERATORS[sign](value, number) for sign, number in comparisons(wanted))


def _typed(given: Any) -> Any:
    if not isinstance(given, str):
        number = isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given) and given >= 0
        raise ValueError(f'write a comparison in quotes, such as ">= {given if number else 0.2}"')
    return given


def _comparison(text: str) -> str:
    comparisons(text)
    return text


def _share(text: str) -> str:
    if any(number > 1 for _, number in comparisons(text)):
        raise ValueError(f"is a share, so compare it with a number from 0 to 1 (given: {text!r})")
    return text


KIND = "a comparison with a number, in quotes"
Amount = Annotated[str, BeforeValidator(_typed), AfterValidator(_comparison), About(kind=KIND, example=">= 1_000_000")]
"""One comparison, or several with commas between them, all of which must hold."""
Share = Annotated[str, BeforeValidator(_typed), AfterValidator(_share), About(kind=KIND, example=">= 0.2")]
"""The same for a value from 0 to 1."""


class SourceExpectations(Section):
    """What can be expected of a corpus, and of each of its sources. Each is a comparison in quotes, such as ">= 0.2"."""

    kept_share: Share | None = None
    """Documents in the token store, per record read (0 to 1), without records that a limit of `collect` left out."""
    quarantined: Share | None = None
    """Share of the records (0 to 1) that are quarantined; for the whole corpus with an estimate of records that were not
    read, as `collect.quarantine_ceiling` weighs them."""
    documents: Amount | None = None
    """Documents in the token store."""
    text_bytes: Amount | None = None
    """Bytes of UTF-8 text in the token store."""
    tokens: Amount | None = None
    """Tokens in the token store, end-of-text included."""
    bytes_per_token: Amount | None = None
    """Bytes of text per token: how well the tokenizer compresses."""
    language: Annotated[Mapping[str, Share], About(example={"en": ">= 0.9"})] = {}
    """By label of the language model: share of the documents (0 to 1) in the token store with this label."""

    def flat(self) -> Iterator[tuple[str, str]]:
        """Every expectation with its comparison, by dotted name."""
        for name in SourceExpectations.model_fields:
            if name != "language" and getattr(self, name) is not None:
                yield name, getattr(self, name)
        for label, wanted in self.language.items():
            yield f"language.{label}", wanted


class ExpectConfig(SourceExpectations):
    """What a finished corpus must be like, such as `kept_share = ">= 0.2"`. The section is not published with the corpus."""

    source: Mapping[str, SourceExpectations] = {}
    """The same for single sources, by name: `source.web.kept_share = ">= 0.5"`."""
    on_miss: Literal["fail", "warn"] = "fail"
    """What a build does that misses an expectation, after the corpus is published. fail: it ends with exit code 1. warn: it
    says so."""

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, given: Any) -> Any:
        """In TOML, `"source.web.tokens"` in quotes is one key, and `source.my.web.tokens` without quotes is four tables deep.
        Both mean what their dotted name says.
        """
        if not isinstance(given, Mapping):
            return given
        values: dict[str, Any] = {}
        for name, value in leaves(given):
            _put(values, name, value)
        return values

    def flat(self) -> Iterator[tuple[str, str]]:
        """Every expectation with its comparison, by dotted name; those of sources come last."""
        yield from super().flat()
        for name, of_source in self.source.items():
            for metric, wanted in of_source.flat():
                yield f"source.{name}.{metric}", wanted

    def check(self, sources: Collection[str], stages: Collection[str]) -> None:
        """Check that the corpus will have what is compared. Raises ValueError, with the nearest name."""
        for name in self.source:
            if name not in sources:
                raise ValueError(
                    f"expect.source.{name}: there is no source {name!r}; {spelling.hint(name, sources, 'sources')}"
                )
        for metric, _ in self.flat():
            if "language" not in stages and "language." in metric:
                raise ValueError(f"expect.{metric}: only the stage `language` gives labels, and `stages` does not name it")


def _path(name: str) -> tuple[str, ...]:
    """`source.my.web.tokens` -> `("source", "my.web", "tokens")`: names of sources may hold dots, metrics do not."""
    head, dot, label = name.partition(".")
    if head == "language" and dot:
        return head, label
    match = OF_SOURCE.fullmatch(name)
    return ("source", match["source"], *_path(match["metric"])) if match else (name,)


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, last = _path(name)
    if last.startswith("source.") and not sections:
        raise ValueError(f'{name} is a section; set one of its settings, for example {name}.kept_share = ">= 0.5"')
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ValueError(f"{name}: {section} is given as a value and as a table")
    if last in values:
        raise ValueError(f"{name} is given twice")
    values[last] = value
