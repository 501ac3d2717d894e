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

from flows.cli import build, corpus, model, tokenizer, tokens
from flows.cli.options import Output, err
from pipeline.errors import TokenmillError

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
    except OSError as error:
        err.print(f"[bold red]error:[/] {escape(str(error.filename or ''))}: {escape(error.strerror or str(error))}")
        sys.exit(1)
