"""Commands that build: `build`, now; `serve`, by schedule; `config show`, with which settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.markup import escape

import tokenmill as tm
from tokenmill.flows import presets
from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.environment import prefect_environment
from tokenmill.flows.cli.options import AtLeastOne, Settings, out, pairs

settings_app = cyclopts.App(name="config", help="Look at settings.")


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
    changes = pairs(settings)
    if limit is not None:
        changes["collect.max_documents"] = str(limit)
    root = out_dir or Path("corpora", Path(config).stem)
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    wanted = presets.resolve(config, changes)
    from tokenmill.flows import build as builds
    from tokenmill.flows import plan as plans

    if dry_run:
        from tokenmill.flows.cli.draw.plan import show

        show(plans.plan(wanted, root), out, workers=count)
        return
    terminal = draw.Terminal(out)
    if plans.up_to_date(wanted, root):
        out.print("Everything is up to date; nothing was computed.")
    elif no_prefect:
        builds.build(wanted, root, workers=count, progress=terminal)
    else:
        prefect_environment()
        from tokenmill.flows.flow import build as flow
        from tokenmill.flows.flow import overrides, progress
        from tokenmill.flows.server import embedded

        progress.set(terminal)
        overrides.set(changes)
        with embedded():
            flow(config, str(root), workers=count)
    _summary(root)


def _summary(root: Path) -> None:
    corpus = tm.open(root)
    state = corpus.status()
    out.print(draw.funnel(state))
    if state.alarms:
        out.print(draw.alarms(state))
    out.print(
        f"\n{state.documents:,} documents, {state.tokens:,} tokens, vocabulary {state.vocabulary:,}\n"
        f"report: {escape(str(corpus.report))}\n"
        f"tokens: {escape(str(root / 'tokens'))}"
    )


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
    prefect_environment()
    from tokenmill.flows.schedules import read
    from tokenmill.flows.server import serve as serve_builds

    serve_builds(read(schedules), lambda line: out.print(line, markup=False))


@settings_app.command(name="show")
def config_show(config: str, /, *, settings: Settings = []) -> None:  # noqa: B006
    """Print all settings of a preset or a TOML file, defaults included, as TOML.

    For example:

        tokenmill config show docs

        tokenmill config show web --set dedup.threshold=0.7 > my.toml
    """
    from tokenmill.pipeline.stages.settings import to_toml

    out.print(to_toml(presets.resolve(config, pairs(settings))), markup=False)
