"""The command line `tokenmill`.

Guarantee: exit code 0 when done, 1 when the data or the settings are at fault (a message that says what and where, no
traceback), 2 for wrong usage. When nobody reads the output any more, the rest of it is lost and the work goes on.
Cost: `tokenmill --help` imports nothing but the table of commands; a command imports what it needs.
"""

from __future__ import annotations

import signal
import sys

from tokenmill.flows.cli.commands import help_text


def main() -> None:
    """The entry point."""
    if sys.argv[1:] in ([], ["--help"], ["-h"]):
        _print_help()
        return
    asked: list[int] = []

    def interrupt(number: int, _: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    # Also on SIGTERM: workers and servers of ours are ended on the way out.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    from tokenmill.flows.cli import application

    try:
        application.app()
    except BaseException as error:
        # Whatever an interrupted library makes of it, we end because we were asked to.
        if asked:
            _say("interrupted; what is finished is kept, run the same command again to go on")
            sys.exit(130)
        message = _message(error)
        if message is None:
            raise
        _say(f"[bold red]error:[/] {message}")
        sys.exit(1)


def _message(error: BaseException) -> str | None:
    """What is said of an error that is the user's to mend; None for any other."""
    from rich.markup import escape

    from tokenmill.pipeline.base.errors import TokenmillError

    if isinstance(error, TokenmillError):
        return escape(str(error))
    if isinstance(error, OSError):
        return f"{escape(str(error.filename or ''))}: {escape(error.strerror or str(error))}"
    return None


def _say(line: str) -> None:
    from tokenmill.flows.cli.options import err

    err.print(line)


def _print_help() -> None:
    try:
        print(help_text(), flush=True)  # noqa: T201 -- rich would take longer to import than all else
    except BrokenPipeError:
        # The reader has left; without this, closing the stream at exit would complain again.
        import os

        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
