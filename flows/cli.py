"""The command line `tokenmill`.

Guarantee: exit code 0 when done, 1 when the data or the settings are at fault (a message that says what and where, no
traceback), 2 for wrong usage. The only module that reads or sets the environment.
Cost: torch, prefect and datasets are imported by the commands that need them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter, validators
from rich.console import Console
from rich.markup import escape

from flows import presets, show
from pipeline.errors import ConfigError, TokenmillError

app = cyclopts.App(
    name="tokenmill",
    help="Raw text in, pretraining corpora out: collect, filter, deduplicate, tokenize, pack, train.",
    help_format="markdown",
    version=lambda: version("tokenmill"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Settings = Annotated[
    list[str], Parameter(name="--set", negative="", help="A setting, as `section.key=value`. The value is TOML, else a string.")
]
AtLeastOne = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Corpus = Annotated[Path, Parameter(help="The folder of a corpus.")]


def _settings(pairs: Sequence[str]) -> dict[str, str]:
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {pair!r}: write it as section.key=value, for example --set dedup.threshold=0.7")
        settings[key.strip()] = value.strip()
    return settings


@app.command
def build(
    config: str,
    /,
    *,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
    settings: Settings = [],  # noqa: B006 -- cyclopts shows it as the default; nothing changes it
    limit: AtLeastOne | None = None,
    workers: AtLeastOne | None = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Say what would be computed; compute nothing.")] = False,
    no_prefect: Annotated[bool, Parameter(negative="", help="Run the same steps without Prefect.")] = False,
) -> None:
    """Build a corpus, or bring one up to date.

    What is up to date is not computed again; a build that was interrupted goes on where it was.

    Examples:

        tokenmill build docs

        tokenmill build text --set collect.paths=my/texts --out corpora/mine

        tokenmill build my.toml --set quality.recipe=gopher@1 --workers 8

        tokenmill build web --set collect.paths='["a.warc.gz", "b.warc.gz"]' --dry-run

    Parameters
    ----------
    config
        A preset (docs, text, web) or a TOML file.
    out_dir
        The folder of the corpus (default: `corpora/<name>`).
    limit
        Collect at most so many documents: a quick trial.
    workers
        How many processes (default: as many as this machine has cores for us).
    """
    changes = _settings(settings)
    if limit is not None:
        changes["collect.max_documents"] = str(limit)
    root = out_dir or Path("corpora", Path(config).stem)
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    wanted = presets.resolve(config, changes)
    from flows import building, plan

    if dry_run:
        plan.show(building.preview(wanted, root), out, workers=count)
        return
    terminal = show.Terminal(out)
    if building.up_to_date(wanted, root):
        out.print("Everything is up to date; nothing was computed.")
    elif no_prefect:
        building.build(wanted, root, workers=count, progress=terminal)
    else:
        _prefect_environment()
        from flows.build import build as flow
        from flows.build import overrides, progress
        from flows.server import embedded

        progress.set(terminal)
        overrides.set(changes)
        with embedded():
            flow(config, str(root), workers=count)
    _summary(root)


def _summary(root: Path) -> None:
    from flows.building import REPORT
    from flows.status import status

    state = status(root)
    out.print(show.funnel(state))
    out.print(
        f"\n{state['documents']:,} documents, {state['tokens']:,} tokens, vocabulary {state['vocabulary']:,}\n"
        f"report: {escape(str(root / REPORT))}\n"
        f"tokens: {escape(str(root / 'tokens'))}"
    )


config_app = cyclopts.App(name="config", help="Look at settings.")
app.command(config_app)


@config_app.command(name="show")
def config_show(config: str, /, *, settings: Settings = []) -> None:  # noqa: B006
    """Print all settings of a preset or a TOML file, defaults included, as TOML.

    Examples:

        tokenmill config show docs

        tokenmill config show web --set dedup.threshold=0.7 > my.toml
    """
    import tomli_w

    out.print(
        tomli_w.dumps(presets.resolve(config, _settings(settings)).model_dump(mode="json", exclude_none=True)), markup=False
    )


@app.command
def status(folder: Corpus, /, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Show the funnel of a corpus.

    Examples:

        tokenmill status corpora/docs

        tokenmill status corpora/docs --json | jq .tokens
    """
    from flows.status import status as state_of

    state = state_of(folder)
    if as_json:
        sys.stdout.write(json.dumps(state) + "\n")
        return
    out.print(show.funnel(state))
    if state["tokens"] is not None:
        out.print(f"\n{state['documents']:,} documents, {state['tokens']:,} tokens, vocabulary {state['vocabulary']:,}")


@app.command
def verify(folder: Corpus, /) -> None:
    """Check every published byte: hashes, alignment, evidence, token shards. Exit code 1 and the files' names if any is off.

    Example:

        tokenmill verify corpora/docs
    """
    from flows.verify import problems

    found = list(problems(folder, show.Terminal(out)))
    for problem in found:
        err.print(problem, markup=False)
    if found:
        raise TokenmillError(f"{len(found)} problem(s) in {folder}; `tokenmill build` makes anew what is broken")
    out.print("Every published byte is what its manifest names.")


@app.command
def report(folder: Corpus, /) -> None:
    """Say where the report of a corpus is, and print its funnel as Markdown.

    Example:

        tokenmill report corpora/docs
    """
    from flows.building import REPORT
    from pipeline import manifest
    from pipeline.report import funnel_markdown

    manifest.load(folder, manifest.CORPUS)
    out.print(funnel_markdown(folder), markup=False)
    out.print(f"report: {escape(str(folder / REPORT))}")


@app.command
def export(
    folder: Corpus,
    /,
    *,
    to: Literal["jsonl", "parquet"],
    out_dir: Annotated[Path | None, Parameter(name="--out", help="Default: `DIR/export`.")] = None,
) -> None:
    """Write the surviving text, one file per shard.

    Examples:

        tokenmill export corpora/docs --to jsonl

        tokenmill export corpora/docs --to parquet --out texts
    """
    from flows.status import published
    from pipeline.export import export as write_text

    write_text(folder, published(folder), out_dir or folder / "export", to, show.Terminal(out))


@app.command
def train(
    folder: Corpus,
    /,
    *,
    settings: Settings = [],  # noqa: B006
    restart_if_stale: Annotated[
        bool, Parameter(negative="", help="Begin anew where the tokens or the model's shape have changed, instead of refusing.")
    ] = False,
) -> None:
    """Train the bundled GPT on the tokens of a corpus. A run that was interrupted goes on where it was.

    Settings are those of the section `train` of the corpus's config, with `--set train.key=value` over them.

    Examples:

        tokenmill train corpora/docs

        tokenmill train corpora/docs --set train.steps=2000 --set train.width=256
    """
    from flows.train import run

    run(folder, _settings(settings), show.Terminal(out), restart_if_stale=restart_if_stale)


@app.command
def sample(
    folder: Corpus,
    /,
    prompt: Annotated[str, Parameter(help="What the model goes on from.")] = "The",
    *,
    tokens: int = 100,
    temperature: float = 0.8,
    top_k: int = 50,
    seed: int = 0,
) -> None:
    """Let the trained model speak.

    Examples:

        tokenmill sample corpora/docs

        tokenmill sample corpora/docs "Returns a list of" --tokens 50 --temperature 0
    """
    from flows.train import speak

    out.print(speak(folder, prompt, tokens=tokens, temperature=temperature, top_k=top_k, seed=seed), markup=False)


@app.command
def serve(schedules: Annotated[Path, Parameter(help="A TOML file of builds and their cron expressions.")], /) -> None:
    """Serve builds by schedule: start a local Prefect server where none is running, and run each build at its times.

    SCHEDULES.toml:

        [[build]]
        name = "nightly"
        config = "docs"            # a preset or a TOML file
        out = "corpora/docs"
        cron = "0 3 * * *"
        settings = { "collect.max_text_bytes" = 10_000_000 }   # optional

    Example:

        tokenmill serve schedules.toml
    """
    _prefect_environment()
    from flows.schedule import read
    from flows.server import serve as serve_builds

    serve_builds(read(schedules), lambda line: out.print(line, markup=False))


def _prefect_environment() -> None:
    """Quiet, private and offline; read by Prefect when it is imported. What the user has set stays."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    for name, value in {
        "PREFECT_HOME": str(home / "tokenmill" / "prefect"),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Errors reach the terminal as our own message; Prefect would print a traceback of its own before it.
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    }.items():
        os.environ.setdefault(name, value)
    # Prefect makes the last folder of the path, not those above it.
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The entry point."""
    # As after Ctrl-C: workers and servers of ours are ended on the way out.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except TokenmillError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("interrupted; what is finished is kept, run the same command again to go on")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        err.print(f"[bold red]error:[/] {escape(str(error.filename or ''))}: {escape(error.strerror or str(error))}")
        sys.exit(1)
