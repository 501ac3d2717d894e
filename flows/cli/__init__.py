"""The command line `tokenmill`.

Purpose: runs the command that the user typed, and turns its outcome into an exit code and a message.
Guarantee: exit code 0 after success; 1 if the data or the settings are wrong (the message says what and where, without a
traceback); 2 for wrong usage; 130 after an interrupt (SIGINT or SIGTERM), and 143 after SIGTERM or 129 after SIGHUP where a
training wrote its checkpoint first. If the reader of what the command prints leaves (`| head`), the rest of it is lost and the
work goes on; a command whose work is its output ends with 141, as SIGPIPE would end it. An argument that is not UTF-8 is wrong
usage. What a terminal cannot show is shown as its escape.
Cost: `tokenmill --help` imports only the table of commands; each command imports what it needs.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import signal
import sys
import threading
from typing import NoReturn

from tokenmill.flows.cli.commands import help_text


def main() -> None:
    """Run the command line. The installed script `tokenmill` calls this. Raises SystemExit with an exit code above 0."""
    program = sys.modules["__main__"].__dict__
    if program.get("main") is not main or "__file__" not in program:
        # Called from Python, which goes on.
        if code := _run():
            sys.exit(code)
        return
    _fill_streams()
    try:
        code = _run()
    except BaseException:  # noqa: BLE001 -- a fault of ours, of whatever class: `_leave` ends the process before Python shows it
        sys.excepthook(*sys.exc_info())
        code = 1
    _leave(code)


def _fill_streams() -> None:
    """Lead standard streams that are closed, as by `2>&-`, to nowhere.

    The next file that is opened would get the number of the stream, and with it what a library prints or a worker says.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _run() -> int:
    """Run the command that the user typed, and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if wrong := _not_text(sys.argv[1:]):
        _say(f"[bold red]error:[/] {wrong}")
        return 2
    if sys.argv[1:] in ([], ["--help"], ["-h"]):
        return _print_help()
    asked: list[int] = []

    def interrupt(number: int, _: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    # SIGTERM gets the handler too, so that the process ends its workers and servers before it exits.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        from tokenmill.flows.cli import application, environment
        from tokenmill.pipeline.base import secrets

        secrets.read_by(environment.variable)
        application.app()
    except BaseException as error:  # a command may also end by SystemExit, KeyboardInterrupt or a signal of Prefect's
        code = _code(error, interrupted=bool(asked))
        if code is None:
            raise
        return code
    return 0


def _code(error: BaseException, *, interrupted: bool) -> int | None:
    """Say what ended a command, and return its exit code; None for a fault of ours, of which nothing is said."""
    # A library may turn the interrupt into another exception. The process still ends because of the interrupt.
    if interrupted or _began_with_interrupt(error):
        _say("interrupted; finished work is kept, run the same command again to continue")
        return 130
    if isinstance(error, SystemExit) and (error.code is None or isinstance(error.code, int)):
        return error.code or 0
    if isinstance(error, BrokenPipeError) and _reader_left():
        return 128 + signal.SIGPIPE
    from tokenmill.pipeline.base.errors import Interrupted
    from tokenmill.pipeline.base.shortage import is_memory, out_of_memory

    with contextlib.suppress(MemoryError):  # the words for an error need memory too
        if not is_memory(error):
            message = _message(error)
            if message is None:
                return None
            if isinstance(error, Interrupted):
                _say(message)
                return 128 + error.number
            _say(f"[bold red]error:[/] {message}")
            return 1
    # Without rich, which would need more.
    os.write(2, f"error: {out_of_memory(f'tokenmill {sys.argv[1]}')}\n".encode())
    return 1


def _reader_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more, as in `tokenmill ... | head`."""
    asked = select.poll()
    asked.register(1, 0)
    return any(events & select.POLLERR for _, events in asked.poll(0))


def _began_with_interrupt(error: BaseException | None) -> bool:
    """Whether an error came out of an interrupt. While a flow runs, Prefect handles SIGTERM itself, by an exception of its own,
    and between two tasks its engine fails over that one with another (seen after SIGTERM to the whole process group).
    """
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "TerminationSignal":
            return True
        error = error.__cause__ or error.__context__
    return False


def _leave(code: int) -> NoReturn:
    """End the process without ending the interpreter, after all that a normal end would do for the user.

    Arrow's threads may still release a buffer of Python's or NumPy's, and ask for the interpreter's lock to do so. While it
    ends, Python 3.11 answers by ending that thread, inside C++ that must not be left so: "terminate called without an active
    exception", and SIGABRT after all work was done (seen in 1 of 76 runs of `trace`). Here the threads just end.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are not daemons, as a normal end does
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            pass  # the reader has left
        except OSError as error:
            os.write(2, f"error: the output cannot be written: {error.strerror}\n".encode())
            code = code or 1
    os._exit(code)


def _not_text(arguments: list[str]) -> str | None:
    """What is wrong with the first argument that is not UTF-8, which Python gives as surrogates; None if all are text.

    No command could use one: it is part of a URL, a text, a setting or a path, and all of these are kept as UTF-8.
    """
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            from rich.markup import escape

            shown = repr(os.fsencode(argument))[2:-1]
            return escape(f"argument {number} ({shown}) is not UTF-8; use a UTF-8 terminal, or a path that is UTF-8")
    return None


def _message(error: BaseException) -> str | None:
    """The message for an error that the user can fix; None for any other error."""
    from rich.markup import escape

    from tokenmill.flows.cli.messages import message

    found = message(error, f"tokenmill {' '.join(sys.argv[1:2])}")
    return None if found is None else escape(found)


def _say(line: str) -> None:
    from tokenmill.flows.cli.options import err

    err.print(line)


def _print_help() -> int:
    try:
        print(help_text(), flush=True)  # noqa: T201 -- importing rich would take longer than everything else here
    except BrokenPipeError:
        # The reader has left. Without this redirection, Python would report the broken pipe again when it closes the stream.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except OSError as error:
        _say(f"error: the help cannot be written: {error.strerror}")
        return 1
    return 0
