"""Commands that build: `build` builds now, `config show` prints the settings of a build."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.markup import escape

import tokenmill as tm
from tokenmill.flows import presets
from tokenmill.flows.cli.draw import expectations
from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.environment import prefect_environment
from tokenmill.flows.cli.options import AtLeastOne, Settings, out, pairs
from tokenmill.pipeline.base import ownership
from tokenmill.pipeline.base.errors import ExpectationMissed

settings_app = cyclopts.App(name="config", help="Print all settings of a preset or of a TOML file.")


def build(
    config: str,
    /,
    *,
    out_dir: Annotated[Path | None, Parameter(name="--out")] = None,
    settings: Settings = [],  # noqa: B006 -- cyclopts shows it as the default, and nothing mutates it
    limit: AtLeastOne | None = None,
    workers: AtLeastOne | None = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Show the plan with estimates of disk and time; compute nothing.")
    ] = False,
    replace: Annotated[
        bool, Parameter(negative="", help="Replace a corpus that another preset or TOML file made; without it that is refused.")
    ] = False,
    in_place: Annotated[
        bool,
        Parameter(
            negative="",
            help="Keep no older version while the build runs: less disk, but readers find no corpus until it ends.",
        ),
    ] = False,
    no_prefect: Annotated[
        bool, Parameter(negative="", help="Run the same steps without Prefect, whose server takes 3 to 8 s to start.")
    ] = False,
) -> None:
    """Build a corpus, or bring it up to date.

    The steps are: collect documents, run the stages (such as language, dedup and quality), train a tokenizer, and pack the
    tokens. Steps that are up to date are not run again, and an interrupted build continues where it stopped. The result is
    written to the folder of the corpus, with an HTML report. Prefect records each step as a task.

    The section `expect` of the settings says what the corpus must be like, as `kept_share = ">= 0.2"`. A build that misses an
    expectation publishes the corpus and ends with exit code 1, or only warns (`on_miss = "warn"`).

    For example:

        tokenmill build docs

        tokenmill build text --set collect.paths=my/texts --out corpora/mine

        tokenmill build my.toml --set quality.recipe=gopher@1 --workers 8

        tokenmill build web --set collect.paths='["a.warc.gz", "b.warc.gz"]' --dry-run

    Parameters
    ----------
    config
        A preset (docs, text or web) or the path of a TOML file. `tokenmill config show` prints its settings.
    out_dir
        Folder of the corpus. Default: `corpora/NAME`, where NAME is the preset or the TOML file without `.toml`.
    limit
        Collect at most this many documents, for a quick trial. Default: no limit.
    workers
        Number of worker processes. Default: one per CPU core that this process may use.
    """
    changes = pairs(settings)
    if limit is not None:
        changes["collect.max_documents"] = str(limit)
    root = out_dir or Path("corpora", presets.name_of(config))
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    wanted = presets.resolve(config, changes)
    made_by = presets.made_by(config, root)
    ownership.require_same(root, made_by, replace=replace)
    terminal = draw.Terminal(out)
    if not dry_run:
        # Said before the imports below: what follows takes seconds.
        terminal.say(f"building {root}")
    from tokenmill.flows import build as builds
    from tokenmill.flows import housekeeping
    from tokenmill.flows import plan as plans

    if dry_run:
        from tokenmill.flows.cli.draw.plan import show

        show(plans.plan(wanted, root), out, root=root, workers=count)
        return

    def plain() -> None:
        builds.build(wanted, root, workers=count, progress=terminal, made_by=made_by, replace=replace, in_place=in_place)

    def meanwhile() -> None:
        from tokenmill.flows import flow  # noqa: F401 -- imported now, called later

        builds.prepare(wanted, root, terminal)

    def on_prefect() -> None:
        from tokenmill.flows.flow import build as flow
        from tokenmill.flows.flow import overrides, progress

        progress.set(terminal)
        overrides.set(changes)
        flow(config, str(root), workers=count, replace=replace, in_place=in_place)

    with _then_summary(root, asks=any(wanted.expect.flat())):
        if plans.up_to_date(wanted, root, in_place=in_place):
            housekeeping.free_superseded(root, terminal)
            out.print("Everything is up to date; nothing was computed.")
            builds.expect_again(wanted, root, terminal)
        elif no_prefect:
            plain()
        else:
            terminal.say("starting Prefect's server")
            prefect_environment()
            from tokenmill.flows.server import embedded

            embedded.build(on_prefect, plain, meanwhile=meanwhile, say=terminal.say)


@contextlib.contextmanager
def _then_summary(root: Path, *, asks: bool) -> Iterator[None]:
    """Show the corpus that the block builds, also if it is not as expected. `asks`: whether anything is expected."""
    try:
        yield
    except ExpectationMissed:
        _summary(root, asks=asks)
        raise
    _summary(root, asks=asks)


def _summary(root: Path, *, asks: bool) -> None:
    corpus = tm.open(root)
    state = corpus.status()
    out.print(draw.funnel(state))
    if state.left_out:
        out.print(draw.left_out(state.left_out))
    if state.alarms:
        out.print(draw.alarms(state))
    if asks and state.expected:
        expectations.show(state.expected[:1], out)
    out.print(
        f"\n{state.documents:,} documents, {state.tokens:,} tokens, vocabulary {state.vocabulary:,}\n"
        f"report: {escape(str(corpus.report))}\n"
        f"tokens: {escape(str(root / 'tokens'))}"
    )


@settings_app.command(name="show")
def config_show(config: str, /, *, settings: Settings = []) -> None:  # noqa: B006
    """Print all settings of a preset or of a TOML file as TOML, including defaults.

    The output is a valid config: save it, edit it, and give it to `tokenmill build`.

    For example:

        tokenmill config show docs

        tokenmill config show web --set dedup.threshold=0.7 > my.toml

    Parameters
    ----------
    config
        A preset (docs, text or web) or the path of a TOML file.
    """
    from tokenmill.pipeline.stages.settings import to_toml

    out.print(to_toml(presets.resolve(config, pairs(settings)), whole=True), markup=False)
