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

    For example:

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

    For example:

        tokenmill config show docs

        tokenmill config show web --set dedup.threshold=0.7 > my.toml
    """
    import tomli_w

    out.print(
        tomli_w.dumps(presets.resolve(config, _settings(settings)).model_dump(mode="json", exclude_none=True)), markup=False
    )


quality_app = cyclopts.App(name="quality", help="Classifiers that judge quality.")
app.command(quality_app)


@quality_app.command(name="train")
def quality_train(
    *,
    positive: Annotated[str, Parameter(help="A file, a folder or a glob of documents as they should be.")],
    negative: Annotated[str, Parameter(help="The same of documents as they should not be.")],
    out_file: Annotated[Path, Parameter(name="--out", help="Where the model goes, for example `edu.bin`.")],
    text_field: Annotated[str, Parameter(help="The column of the text in .jsonl, .parquet and .csv files.")] = "text",
    epochs: AtLeastOne = 5,
    learning_rate: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 0.1,
    buckets: Annotated[
        int,
        Parameter(
            validator=validators.Number(gte=100_000, lt=2**31),
            help="Rows for hashed pairs of words; each takes 400 bytes of the model, and of every worker's memory.",
        ),
    ] = 2_000_000,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0, lt=2**31))] = 0,
) -> None:
    """Train a fastText classifier that tells good documents from bad ones, as DCLM does.

    Features are words and pairs of words, as they are written: lines are joined, nothing is lower-cased. The defaults are
    fastText's. A fifth of each side, chosen by a hash of the text, is not learnt but measured. The same documents and seed
    give the same bytes of the model.

    A .txt file is one document; .jsonl, .parquet and .csv files hold one in each record; what `tokenmill build` reads
    can be read.

    For example:

        tokenmill quality train --positive textbooks --negative web.jsonl --out edu.bin

        tokenmill quality train --positive 'good/*.parquet' --negative bad --out small.bin --buckets 200000 --epochs 3

    A config then names the model, and any number of others beside it:

        [quality]
        recipe = "fineweb@1"

        [quality.models.edu]
        path = "edu.bin"
        label = "positive"
        keep_fraction = 0.1        # of the documents that pass everything else; or min = 0.5

        [quality.models.toxicity]
        path = "toxicity.bin"
        label = "toxic"
        max = 0.5

    All of DCLM is its rules and its published model (mlfoundations/fasttext-oh-eli5) at its threshold:

        tokenmill build web --set quality.recipe=dclm@1 --set quality.models.dclm.path=oh-eli5.bin
        --set quality.models.dclm.label=hq --set quality.models.dclm.min=0.018112
    """
    from flows import quality
    from pipeline.quality.train import Training

    training = Training(epochs=epochs, learning_rate=learning_rate, buckets=buckets, seed=seed)
    terminal = show.Terminal(out)
    measured = quality.train(positive, negative, out_file, text_field=text_field, training=training, progress=terminal)
    quality.show(measured, out_file, out)


@app.command
def status(folder: Corpus, /, *, as_json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> None:
    """Show the funnel of a corpus.

    For example:

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
def whatif(
    folder: Corpus,
    /,
    *,
    settings: Settings,
    samples: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 3,
    seed: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 0,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object.")] = False,
) -> None:
    """Show what other thresholds would keep, from stored scores, in seconds. Writes nothing.

    The funnel before and after, the documents that change sides, how far each is from the threshold, and how close the
    nearest others are. Thresholds of `language` and `quality` can be tried. What needs new scores, new comparisons of
    duplicates or another order of stages is refused, and said.

    A document that comes alive may have no scores at later stages: it is counted as not scored. A duplicate of a document
    that goes may take its place: it is counted as undecided. `tokenmill build` with the same settings decides both.

    For example:

        tokenmill whatif corpora/docs --set quality.min_words=80

        tokenmill whatif corpora/docs --set language.threshold=0.8 --set quality.max_short_lines=0.7 --samples 10

        tokenmill whatif corpora/docs --set quality.min_stop_words=1 --json | jq .documents

    Parameters
    ----------
    samples
        Documents shown for each reason, in each direction.
    seed
        Draws those documents.
    """
    from flows.show_whatif import show as show_answer
    from flows.whatif import what_if

    answer = what_if(folder, _settings(settings), samples=samples, seed=seed)
    if as_json:
        sys.stdout.write(json.dumps(answer) + "\n")
        return
    show_answer(answer, out)


@app.command
def verify(folder: Corpus, /) -> None:
    """Check every published byte: hashes, alignment, evidence, token shards. Exit code 1 and the files' names if any is off.

    For example:

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

    For example:

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

    For example:

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

    For example:

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

    For example:

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

    For example:

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
