"""What commands share: common arguments, and the consoles that they print to.

Cost: none.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token, validators
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from tokenmill.flows.cli import environment
from tokenmill.flows.cli.draw.tables import fitted, visible
from tokenmill.pipeline.base import files, manifest, store
from tokenmill.pipeline.base.errors import ConfigError, InputError, NotBuilt, TokenmillError

# Typed here again, since the settings are imported only when a command runs.
ExecutorName = Literal["local", "ray", "dask"]

Settings = Annotated[
    list[str],
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        help="Override a setting: `section.key=value`, where the value is TOML or a plain string. Repeatable.",
    ),
]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object.")]
OfObjective = Annotated[
    str | None,
    Parameter(
        help="The model to take: causal or instructions. Default: the one that was fine-tuned on instructions, if it began "
        "with the causal model that is there now."
    ),
]
AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1))]
AtLeastZero = Annotated[int, Parameter(validator=validators.Number(gte=0))]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Execution:
    """Who does the work: options that several commands share. What is not given is left to the settings."""

    workers: Annotated[
        AtLeastOne | None,
        Parameter(help="Number of worker processes. Default: one per CPU core that this process may use, or of the cluster."),
    ] = None
    executor: Annotated[
        ExecutorName | None,
        Parameter(help="Who does the work: processes on this machine (`local`, the default), or a cluster of Ray or Dask."),
    ] = None
    address: Annotated[
        str | None,
        Parameter(help="Where the Ray or Dask cluster is. Default: one starts on this machine, and ends with the command."),
    ] = None
    memory: Annotated[
        str | None,
        Parameter(
            help='Memory of a machine that its workers take for data, together, as "24 GB". Default: half of what it has.'
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """What is given, by name of the setting in the section `execution`."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}

    def changes(self) -> dict[str, str]:
        """The same as settings of --set."""
        return {f"execution.{name}": str(value) for name, value in self.settings().items()}


DEFAULT_EXECUTION = Execution()


def _copied(wanted: store.Wanted) -> Callable[[type, Sequence[Token]], Path]:
    """A converter like `_corpus`. For an address, it fetches the files that are wanted, and gives the folder of the copy."""

    def convert(kind: type, tokens: Sequence[Token]) -> Path:
        text = tokens[0].value
        if not store.is_remote(text):
            return _corpus(kind, tokens)
        return _mirror(text, wanted)

    return convert


def _mirror(address: str, wanted: store.Wanted, *, anew: bool = False) -> Path:
    try:
        return store.mirror(address, wanted=wanted, cache=environment.cache_folder(), anew=anew)
    except (ConfigError, InputError) as error:
        # cyclopts would take a ValueError for wrong usage, and a store that cannot be reached is none.
        raise TokenmillError(str(error)) from error


def _anew(_: type, tokens: Sequence[Token]) -> Path:
    """The given folder. For an address, every byte is read from the store again."""
    text = tokens[0].value
    return _mirror(text, store.everything, anew=True) if store.is_remote(text) else Path(text)


def _as_given(kind: type, tokens: Sequence[Token]) -> Path | str:
    """Like `_corpus`, but an address stays one."""
    text = tokens[0].value
    return text if store.is_remote(text) else _corpus(kind, tokens)


def _corpus(_: type, tokens: Sequence[Token]) -> Path:
    """The given folder; for the token store of a corpus, the folder of the corpus. Raises NotBuilt for a store without one."""
    path = Path(tokens[0].value)
    if path.resolve().name == "tokens" and files.marker(path.resolve().parent) is not None:
        # While a build runs, the folder may hold no finished store; the published version does.
        return path.resolve().parent
    if manifest.stage_in(path) != "pack":
        return path
    around = path.resolve().parent
    if manifest.path_of(around, "pack").parent.resolve() == path.resolve() and manifest.stage_in(around) == manifest.CORPUS:
        return around
    raise NotBuilt(
        f"{path} is a token store without its corpus; this command needs the settings, the tokenizer and the text: give the "
        "folder of the corpus. `tokenmill verify` checks a store alone, and tokenmill.pipeline.tokens.TokenStore.open reads it"
    )


_HELP = "The folder of the corpus, or its `tokens` folder; or the address of one in an object store."
Corpus = Annotated[Path, Parameter(converter=_copied(store.everything), help=_HELP)]
CorpusSummary = Annotated[Path, Parameter(converter=_copied(store.summary), help=_HELP)]
"""For commands that read no documents and no tokens."""
CorpusTokens = Annotated[Path, Parameter(converter=_copied(store.tokens), help=_HELP)]
"""For commands that read the token store and no documents."""
CorpusAnew = Annotated[
    Path,
    Parameter(
        converter=_anew, help="The folder of a corpus or of a copy of its token store; or an address in an object store."
    ),
]
"""For the command that proves what is there."""
CorpusOrAddress = Annotated[Path | str, Parameter(converter=_as_given, help=_HELP)]
"""For commands that change a corpus."""


def no_options(_: type, names: str | Sequence[str]) -> None:
    """Validate file names where `-` is allowed: reject mistyped options such as `--tresh`. Raises ValueError."""
    for name in [names] if isinstance(names, str) else names:
        if name.startswith("-") and name != "-":
            raise ValueError(f"There is no option {name}; for a file of that name, write ./{name}.")


class Output(Console):
    """A console that survives a reader who leaves (`| head`, a closed terminal): later output is lost, and the work goes on.

    Tables fit the width, and what would control a terminal is shown as its escape.
    """

    def print(self, *objects: Any, **how: Any) -> None:
        """Print as rich does, with tables fitted. In a file, tables have their full width unless COLUMNS is set."""
        width = self.width if self.is_terminal or environment.columns() is not None else None
        try:
            super().print(*(fitted(one, self, width) if isinstance(one, Table) else one for one in objects), **how)
        except OSError as error:
            if error.errno == errno.EIO and stat.S_ISCHR(os.fstat(self.file.fileno()).st_mode):
                return self.on_broken_pipe()
            raise TokenmillError(
                f"the output cannot be written: {error.strerror or error}; write it to another place, or make room there"
            ) from error

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; rich calls this method for all that it prints."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else visible(segment.text)
            yield segment if shown is segment.text else Segment(shown, segment.style)

    def on_broken_pipe(self) -> None:
        """Discard all further output. rich calls this method; its own version would end the process."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def _console(*, stderr: bool) -> Output:
    # Without colours, there is no bold either: a terminal gets plain text.
    colors: Literal["auto"] | None = None if environment.no_color() else "auto"
    return Output(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, color_system=colors)


out, err = _console(stderr=False), _console(stderr=True)


def pairs(settings: Sequence[str]) -> dict[str, str]:
    """Parse `section.key=value` strings into a dict from dotted key to value. Raises ConfigError."""
    found = {}
    for pair in settings:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {pair!r}: write it as section.key=value, for example --set dedup.threshold=0.7")
        found[key.strip()] = value.strip()
    return found
