"""What commands share: arguments that several of them take, and where they print.

Cost: none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token, validators
from rich.console import Console

from tokenmill.pipeline.base import manifest
from tokenmill.pipeline.base.errors import ConfigError, NotBuilt

Settings = Annotated[
    list[str], Parameter(name="--set", negative="", help="A setting, as `section.key=value`. The value is TOML, else a string.")
]
AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1))]
AtLeastZero = Annotated[int, Parameter(validator=validators.Number(gte=0))]


def _corpus(_: type, tokens: Sequence[Token]) -> Path:
    """The folder as it is; of the token store of a corpus, the folder around it. Raises NotBuilt for a store without one."""
    path = Path(tokens[0].value)
    if manifest.stage_in(path) != "pack":
        return path
    around = path.resolve().parent
    if manifest.path_of(around, "pack").parent.resolve() == path.resolve() and manifest.stage_in(around) == manifest.CORPUS:
        return around
    raise NotBuilt(
        f"{path} is a token store without its corpus, whose settings, tokenizer and text are wanted: give the folder of the "
        "corpus. `tokenmill verify` checks a store alone, and tokenmill.pipeline.tokens.TokenStore.open reads it"
    )


Corpus = Annotated[Path, Parameter(converter=_corpus, help="The folder of a corpus.")]


def no_options(_: type, names: str | Sequence[str]) -> None:
    """A validator of names of files of which `-` may be one: a mistyped option is none of them. Raises ValueError."""
    for name in [names] if isinstance(names, str) else names:
        if name.startswith("-") and name != "-":
            raise ValueError(f"There is no option {name}; a file of that name is ./{name}.")


class Output(Console):
    """A console whose reader may leave (`| head`): what is printed then is lost, and the work goes on."""

    def on_broken_pipe(self) -> None:
        """Called by rich, which would end the process."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


out = Output(highlight=False, soft_wrap=True)
err = Output(stderr=True, highlight=False, soft_wrap=True)


def pairs(settings: Sequence[str]) -> dict[str, str]:
    """`section.key=value` by key. Raises ConfigError."""
    found = {}
    for pair in settings:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {pair!r}: write it as section.key=value, for example --set dedup.threshold=0.7")
        found[key.strip()] = value.strip()
    return found
