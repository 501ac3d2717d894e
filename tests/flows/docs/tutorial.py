"""A tutorial as a program: the blocks of its page, run from top to bottom in one folder, as its reader would.

A block with a title is a file of that name. A block of `sh` runs in bash, and one of `python` in a namespace that the page
shares, as in a notebook. A block of `text` is what the block before it prints, where `...` stands for anything; in a block of
`console` any number stands for any other one, and columns may be wider, as on another machine.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).parents[3] / "flows" / "docs" / "pages"
BLOCK = re.compile(r'^```(?P<kind>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
AS_WRITTEN = doctest.OutputChecker()
MINUTES = 10


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of a page. `line` is where its text begins, from 1."""

    kind: str
    title: str | None
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for found in BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("text")) + 1
        yield Block(kind=found["kind"], title=found["title"], text=found["text"], line=line)


def run(path: Path, folder: Path) -> None:
    """Run all blocks of a page in an empty folder. Raises AssertionError with the line of the block that did something else."""
    namespace: dict[str, object] = {"__name__": "tutorial"}
    printed: str | None = None
    for block in blocks(path.read_text()):
        where = f"{path.name}:{block.line}"
        if block.title is not None:
            (folder / block.title).write_text(block.text)
            printed = None
        elif block.kind == "sh":
            printed = _shell(block.text, folder, where)
        elif block.kind == "python":
            printed = _python(block.text, folder, where, namespace)
        else:
            assert block.kind in ("text", "console"), f"{where}: {block.kind!r} without a title is neither run nor written"
            assert printed is not None, f"{where}: stands below no block that prints"
            shape = _shape if block.kind == "console" else _trimmed
            same = AS_WRITTEN.check_output(shape(block.text), shape(printed), doctest.ELLIPSIS)
            assert same, f"{where}: the page says\n\n{block.text}\nand this was printed:\n\n{printed}"


def _shell(text: str, folder: Path, where: str) -> str:
    command = ["bash", "-euo", "pipefail", "-c", text]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env=_environment(folder), start_new_session=True, **pipes) as process:
        try:
            printed, complaints = process.communicate(timeout=60 * MINUTES)
        finally:
            # What a block left in the background ends with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, f"{where}: exit code {process.returncode}\n{printed}{complaints}"
    return printed


def _environment(folder: Path) -> dict[str, str]:
    """As in an activated environment, on a machine where Prefect has neither settings nor a server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    path = f"{Path(sys.executable).parent}:{kept['PATH']}"
    prefect = {"PREFECT_HOME": str(folder / ".prefect"), "PREFECT_SERVER_API_PORT": str(_free_port())}
    return {**kept, **prefect, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _python(text: str, folder: Path, where: str, namespace: dict[str, object]) -> str:
    # The lines before it keep the numbers of a traceback those of the page.
    lines = int(where.rpartition(":")[2]) - 1
    code = compile("\n" * lines + text, where, "exec")
    output = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        exec(code, namespace)
    return output.getvalue()


def _trimmed(text: str) -> str:
    """Without white space at the ends of lines, which editors remove from pages."""
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _shape(text: str) -> str:
    """Without numbers, and without the widths of columns."""
    return re.sub(r" +", " ", re.sub(r"\d[\d,.]*", "0", _trimmed(text)))
