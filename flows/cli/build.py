"""The command `build`: a corpus, now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape

import tokenmill as tm
from tokenmill.flows import execution as execution_of
from tokenmill.flows import presets
from tokenmill.flows.cli import environment
from tokenmill.flows.cli.draw import expectations
from tokenmill.flows.cli.draw import terminal as draw
from tokenmill.flows.cli.options import DEFAULT_EXECUTION, AtLeastOne, Execution, Settings, out, pairs
from tokenmill.flows.server import settings as prefect_settings
from tokenmill.pipeline.base import ownership, shortage, store
from tokenmill.pipeline.base.errors import ConfigError, ExpectationMissed


def build(
    named: Annotated[Path, Parameter(name="CONFIG")],
    /,
    *,
    out_dir: Annotated[str | None, Parameter(name="--out")] = None,
    work: Annotated[
        Path | None,
        Parameter(
            help="With an address as --out: the folder to build in. It is kept, so that the next build goes on from there. "
            "Default: in ~/.cache/tokenmill/stores, or in the folder that the variable TOKENMILL_CACHE names."
        ),
    ] = None,
    settings: Settings = [],  # noqa: B006 -- cyclopts shows it as the default, and nothing mutates it
    text_field: Annotated[
        str | None,
        Parameter(
            help="Column with the text in record files (.jsonl .parquet .csv and others) of every source that names none."
        ),
    ] = None,
    limit: AtLeastOne | None = None,
    execution: Execution = DEFAULT_EXECUTION,
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

        tokenmill build text --set collect.paths=posts.jsonl --text-field content

        tokenmill build stories --set collect.paths=TinyStories-train.txt

        tokenmill build my.toml --set quality.recipe=gopher@1 --workers 8

        tokenmill build web --set collect.paths='["a.warc.gz", "b.warc.gz"]' --dry-run

    Parameters
    ----------
    named
        A preset (docs, stories, text or web) or the path of a TOML file. `tokenmill config show` prints its settings.
    out_dir
        Folder of the corpus, or an address in an object store, as `s3://bucket/prefix`: the corpus is built in a folder here
        and published there. Default: `corpora/NAME`, where NAME is the preset or the TOML file without `.toml`.
    limit
        Collect at most this many documents, for a quick trial. Default: no limit.
    """
    # Before the imports below, which are what a small address space has no room for.
    shortage.require_address_space()
    config, changes = str(named), {**pairs(settings), **execution.changes()}
    if limit is not None:
        changes["collect.max_documents"] = str(limit)
    if text_field is not None:
        changes = presets.with_text_field(config, changes, text_field)
    address = out_dir if out_dir is not None and store.is_remote(out_dir) else None
    root = Path(out_dir) if out_dir is not None else Path("corpora", presets.name_of(config))
    if address is not None:
        from tokenmill.flows import remote

        root = work or remote.work_folder(address, environment.cache_folder())
    elif work is not None:
        raise ConfigError(f"--work {work}: is for an address as --out; without one, the corpus is built in --out itself")
    wanted = presets.resolve(config, changes)
    count = wanted.execution.workers or len(os.sched_getaffinity(0))
    made_by = presets.made_by(config, root)
    ownership.require_same(root, made_by, replace=replace)
    terminal = draw.Terminal(out)
    target = None
    if address is not None:
        target = remote.target(address, root, made_by=made_by, replace=replace, in_place=in_place)
    if target is not None and not dry_run:
        target.begin()
    if not dry_run:
        # Said before the imports below: what follows takes seconds. Workers get ready meanwhile.
        terminal.say(f"building {root}")
        execution_of.begin(wanted.execution, workers=count, modules=[execution_of.READY])
    from tokenmill.flows import build as builds
    from tokenmill.flows import housekeeping, preflight
    from tokenmill.flows import plan as plans

    if dry_run:
        from tokenmill.flows.cli.draw.plan import show

        show(plans.plan(wanted, root), out, root=root, workers=count)
        for line in preflight.check(wanted, root, builds.outline(wanted)):
            terminal.say(line)
        return

    def plain() -> None:
        builds.build(wanted, root, workers=count, progress=terminal, made_by=made_by, replace=replace, in_place=in_place)

    def meanwhile() -> None:
        from tokenmill.flows import flow

        housekeeping.say_compiling(terminal)
        flow.looked.set(preflight.check(wanted, root, builds.outline(wanted)))

    def on_prefect() -> None:
        from tokenmill.flows.flow import build as flow
        from tokenmill.flows.flow import overrides, progress

        progress.set(terminal)
        overrides.set(changes)
        flow(config, str(root), workers=count, replace=replace, in_place=in_place)

    published = contextlib.nullcontext() if target is None else target.after(terminal, grace_hours=wanted.publish.grace_hours)
    with published, _then_summary(root, asks=any(wanted.expect.flat())):
        if plans.up_to_date(wanted, root, workers=count, in_place=in_place):
            housekeeping.free_superseded(root, terminal)
            out.print("Everything is up to date; nothing was computed.")
            builds.expect_again(wanted, root, terminal)
        elif no_prefect:
            plain()
        else:
            terminal.say("starting Prefect's server")
            try:
                prefect_settings.prepare()
            except ConfigError as error:
                terminal.say(f"{error}; the build goes on without Prefect")
                plain()
            else:
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
