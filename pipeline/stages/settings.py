"""All settings of a corpus: those that every corpus has, and a section for each stage of the table.

Purpose: TOML and `--set` in, one frozen, checked value out, and back to TOML.
Guarantee: a config that exists is valid, also across sections. Cost: the type is made once for a table of stages.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import create_model, model_validator

from tokenmill.pipeline.config import Config, lookup, read
from tokenmill.pipeline.stages import table
from tokenmill.pipeline.stages.kind import StageKind

LAST = ("tokenizer", "pack", "train")
"""The sections that stand behind those of the stages."""
NOT_PUBLISHED = ("publish", "expect", "execution")
"""Sections that make nothing of a corpus: they say who makes it and where it goes, or ask about it. They stand in no published
file."""


def load(path: Path, overrides: Mapping[str, Any] = {}, *, folder: Path | None = None, without_input: bool = False) -> Config:
    """Read a TOML file and apply `overrides` by dotted name: texts as typed after --set, or values. Raises ConfigError.

    `folder`: where relative paths of the file start; None for the current folder. `without_input`: it need not say what to
    collect, since it is only shown.
    """
    return read.load(path, overrides, config_type(table.STAGES), folder=folder, without_input=without_input)


def parse(plain: Mapping[str, Any], *, where: str, overrides: Mapping[str, Any] = {}, without_input: bool = False) -> Config:
    """A config from plain values of `where`, `overrides` over them. Raises ConfigError that names every setting at fault."""
    return read.parse(plain, where=where, overrides=overrides, model=config_type(table.STAGES), without_input=without_input)


def plain(config: Config, *, whole: bool = False) -> dict[str, Any]:
    """As JSON values, sections in the order of the work; what is not set is left out. `whole`: also NOT_PUBLISHED."""
    values = config.model_dump(mode="json", exclude_none=True)
    behind = (*LAST, *NOT_PUBLISHED)
    names = (*(name for name in values if name not in behind), *(behind if whole else LAST))
    return {name: values[name] for name in names}


def to_toml(config: Config, *, whole: bool = False) -> str:
    """As TOML that `load` reads: what is published with a corpus, or the `whole`."""
    return tomli_w.dumps(plain(config, whole=whole))


@functools.cache
def config_type(stages: tuple[StageKind[Any], ...]) -> type[Config]:
    """`Config` with the sections of these stages."""

    def check(config: Config) -> Config:
        names = [kind.name for kind in stages]
        unknown = [name for name in config.stages if name not in names]
        if unknown:
            near = lookup.near(unknown[0], names)
            hint = f'did you mean "{near}"?' if near else f"known: {', '.join(names)}"
            raise ValueError(f"`stages` names {unknown[0]!r}; {hint}")
        for kind in stages:
            kind.check(config)
        return config

    fields: dict[str, Any] = {kind.name: (kind.section, kind.section()) for kind in stages}
    validators: dict[str, Any] = {"stages_fit": model_validator(mode="after")(check)}
    return create_model("Config", __base__=Config, __module__=__name__, __validators__=validators, **fields)
