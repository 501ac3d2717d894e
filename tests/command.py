"""The command `tokenmill` inside the test's process: a start of the real one takes a second, most of it imports."""

from __future__ import annotations

import contextlib
import io
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from tokenmill.flows import cli


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended and what it printed, as `subprocess.CompletedProcess` names it."""

    returncode: int
    stdout: str
    stderr: str


def tokenmill(*arguments: str | Path) -> Done:
    """Run the entry point with these arguments. What would end a process with a traceback is raised."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    code: object = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        # `main` passes no arguments on, which cyclopts takes for a mistake in a test.
        warnings.filterwarnings("ignore", message="Cyclopts application invoked without tokens")
        patch.setattr("sys.argv", ["tokenmill", *map(str, arguments)])
        patch.setenv("COLUMNS", "80")
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    assert isinstance(code, int)
    return Done(returncode=code, stdout=stdout.getvalue(), stderr=stderr.getvalue())
