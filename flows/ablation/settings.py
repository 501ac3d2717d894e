"""Reads an ABLATION.toml: the variants to compare, the seeds, the training that all share, and the held-out sets.

Guarantee: whatever can be known to be wrong before any work is refused, with the file and the place: unknown settings, variants
that would train other models, held-out sets of nothing. Relative paths start at the folder of the file.
Cost: none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, StrictInt, ValidationError, model_validator

from tokenmill.flows import presets
from tokenmill.flows.paths import PathText
from tokenmill.pipeline.base import spelling
from tokenmill.pipeline.base.errors import ConfigError
from tokenmill.pipeline.config import Config, Section, TrainConfig, toml
from tokenmill.pipeline.config.places import override_beside
from tokenmill.pipeline.config.section import MB, leaves
from tokenmill.pipeline.config.sources import TextColumn

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""Of a variant or a held-out set: it is the name of a folder."""
CORPUS = "corpus"
"""The key of a variant that is a corpus already."""
OWN_TRAINING = "train.weights"
"""The one setting of training that variants may differ in: how sources are mixed is a matter of the data."""


class HeldOut(Section):
    """A set of texts on which models are measured: the validation split of a variant, or files."""

    variant: str | None = None
    """The variant whose validation split it is."""
    paths: tuple[PathText, ...] = ()
    """Files, folders and globs."""
    text_field: TextColumn = "text"
    """Record files: the column with the text."""
    sample_by: Literal["document", "line"] = "document"
    """Plain text files: the whole file is one document, or each line is one."""
    max_text_bytes: int = Field(default=MB, ge=1_000)
    """At most so many bytes of text are measured. A hash chooses which documents."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.variant is None) == (not self.paths):
            raise ValueError('give it either variant = "NAME", for the validation split of a variant, or paths = ["FILE"]')
        return self


class _File(Section):
    """The file as it is written."""

    base: PathText | None = None
    """The preset or the TOML file that variants change."""
    seeds: tuple[StrictInt, ...] = (0, 1, 2)
    variants: Mapping[str, Mapping[str, Any]]
    train: Mapping[str, Any] = {}
    held_out: Mapping[str, HeldOut] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in (*self.variants, *self.held_out):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name: use letters, digits, '.', '_' and '-', at most 64 characters")
        if len(self.variants) < 2:
            raise ValueError(f"{len(self.variants)} variants leave nothing to compare; write two tables such as [variants.a]")
        if len(set(self.seeds)) < 2 or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(
                f"seeds = {list(self.seeds)}: give at least two different numbers from 0 on, such as [0, 1, 2]; without a "
                "second seed nobody knows what a difference is worth"
            )
        for name, one in self.held_out.items():
            if one.variant is not None and one.variant not in self.variants:
                raise ValueError(f"held_out.{name}: {spelling.hint(one.variant, self.variants, 'variants')}")
        return self


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One side of the comparison: settings to build a corpus with, or a corpus that stands already."""

    config: Config | None
    """None for a corpus."""
    corpus: Path | None
    settings: Mapping[str, Any]
    """What the file says of it, by dotted name: for the page."""
    train: TrainConfig

    @property
    def keeps_tokenizer(self) -> bool:
        """Whether its tokenizer is its own: it is a corpus, or says how its tokenizer is made."""
        return self.config is None or any(key.startswith("tokenizer.") for key in self.settings)


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """What an ABLATION.toml asks. `read` makes it."""

    name: str
    base: str | None
    variants: Mapping[str, Variant]
    """By name. The first one trains the tokenizer."""
    seeds: tuple[int, ...]
    held_out: Mapping[str, HeldOut]


def read(path: Path) -> Ablation:
    """The ablation that a file describes. Raises ConfigError with one line for each fault."""
    plain = toml.load(path)
    try:
        found = _File.model_validate(plain)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {_line(dict(fault))}" for fault in error.errors())) from error
    folder = path.parent
    base = found.base
    if base is not None and base not in presets.names():
        base = str(folder / base)
    train = {f"train.{key}": value for key, value in leaves(found.train)}
    held_out = found.held_out or {name: HeldOut(variant=name) for name in found.variants}
    return Ablation(
        name=path.stem,
        base=found.base,
        variants={name: _variant(said, base, train, path, f"{path}: variants.{name}") for name, said in found.variants.items()},
        seeds=found.seeds,
        held_out={
            name: one.model_copy(update={"paths": tuple(override_beside(folder, "collect.paths", one.paths))})
            for name, one in held_out.items()
        },
    )


def _variant(said: Mapping[str, Any], base: str | None, train: Mapping[str, Any], path: Path, where: str) -> Variant:
    """`where`: how messages call it. Raises ConfigError."""
    chosen = {key: override_beside(path.parent, key, value) for key, value in leaves(said)}
    corpus = chosen.pop(CORPUS, None)
    for key in chosen:
        if key.startswith("train.") and not key.startswith(OWN_TRAINING):
            raise ConfigError(f"{where}: {key} would train another model; put it into [train], which all variants share")
        if corpus is not None and not key.startswith(OWN_TRAINING):
            raise ConfigError(f"{where}: {key} cannot change a corpus that is built already; leave out either it or `corpus`")
    if corpus is None and base is None:
        raise ConfigError(f'{where}: has neither a corpus nor a base; write for example base = "docs" at the top of the file')
    try:
        overrides = {**train, **chosen}
        config = presets.resolve(base or "text", overrides, without_input=corpus is not None)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{where}: {line}" for line in str(error).splitlines())) from error
    settings = dict(leaves(said))
    if corpus is None:
        return Variant(config=config, corpus=None, settings=settings, train=config.train)
    if not isinstance(corpus, str):
        raise ConfigError(f'{where}: corpus must be the path of a folder, such as corpus = "corpora/docs"')
    return Variant(config=None, corpus=path.parent / corpus, settings=settings, train=config.train)


def _line(fault: Mapping[str, Any]) -> str:
    """One fault as one clear line."""
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f'has no {place}; write for example [{place}.a] and below it a setting such as quality.recipe = "c4@1"'
    if fault["type"] == "extra_forbidden":
        model = HeldOut if place.startswith("held_out.") else _File
        return f"unknown setting {place}; {spelling.hint(str(fault['loc'][-1]), model.model_fields, 'known here')}"
    return f"{place + ': ' if place else ''}{fault['msg'].removeprefix('Value error, ')}"
