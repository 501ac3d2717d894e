"""What commands share: arguments that several of them take, and where they print.

Cost: none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console

from pipeline.errors import ConfigError

Settings = Annotated[
    list[str], Parameter(name="--set", negative="", help="A setting, as `section.key=value`. The value is TOML, else a string.")
]
AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1))]
AtLeastZero = Annotated[int, Parameter(validator=validators.Number(gte=0))]
Corpus = Annotated[Path, Parameter(help="The folder of a corpus.")]


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
