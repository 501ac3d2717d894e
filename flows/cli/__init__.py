"""The command line `tokenmill`.

Guarantee: exit code 0 when done, 1 when the data or the settings are at fault (a message that says what and where, no
traceback), 2 for wrong usage. When nobody reads the output any more, the rest of it is lost and the work goes on.
Cost: torch, prefect and datasets are imported by the commands that need them.
"""

from __future__ import annotations

import signal
import sys
from importlib.metadata import version

import cyclopts
from rich.markup import escape

from tokenmill.flows.cli import build, corpus, model, tokenizer, tokens
from tokenmill.flows.cli.options import Output, err
from tokenmill.pipeline.base.errors import TokenmillError

app = cyclopts.App(
    name="tokenmill",
    help="Raw text in, pretraining corpora out: collect, filter, deduplicate, tokenize, pack, train.",
    help_format="markdown",
    console=Output(),
    version=lambda: version("tokenmill"),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for command in (
    *(build.build, build.serve, build.settings_app),
    *(corpus.status, corpus.whatif, corpus.near, corpus.verify, corpus.report, corpus.export),
    *(tokens.trace, tokens.forget, tokens.compact, tokens.audit),
    *(model.train, model.sample, model.quality_app, tokenizer.app),
):
    app.command(command)


def main() -> None:
    """The entry point."""
    asked: list[int] = []

    def interrupt(number: int, _: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    # Also on SIGTERM: workers and servers of ours are ended on the way out.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        app()
    except BaseException as error:
        # Whatever an interrupted library makes of it, we end because we were asked to.
        if asked:
            err.print("interrupted; what is finished is kept, run the same command again to go on")
            sys.exit(130)
        if isinstance(error, TokenmillError):
            err.print(f"[bold red]error:[/] {escape(str(error))}")
            sys.exit(1)
        if isinstance(error, OSError):
            err.print(f"[bold red]error:[/] {escape(str(error.filename or ''))}: {escape(error.strerror or str(error))}")
            sys.exit(1)
        raise
